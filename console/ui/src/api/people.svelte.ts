import { query } from "../shell/url";
import { get } from "./client";
import type { PeoplePage } from "./gen/schema";
import { session } from "./session.svelte";

/** The names of the people who work here, as far as the reader may know them. Ids stand for those that are not known. */
class People {
  #names = $state.raw<Map<string, string>>(new Map());
  #work = $state.raw<{ id: string; name: string }[]>([]);

  async load(): Promise<void> {
    if (!session.may("listPeople")) return;
    try {
      const all: PeoplePage["items"] = [];
      for (let cursor = ""; all.length < 5000; ) {
        const page = await get<PeoplePage>("/people" + query({ limit: 500, cursor }));
        all.push(...page.items);
        if (!(cursor = page.next)) break;
      }
      this.#names = new Map(all.map((u) => [u.id, u.name]));
      this.#work = all.filter((u) => !u.disabled && (u.role === "analyst" || u.role === "approver"));
    } catch {
      // Ids are shown.
    }
  }

  /** The name of a person, or the beginning of the id where the name is not known. */
  name(id: string): string {
    if (id === session.me?.id) return session.me.name;
    return this.#names.get(id) ?? (/\d/.test(id) && id.length > 12 ? id.slice(0, 9) + "…" : id);
  }

  /** Those who can be given work. */
  get all(): { id: string; name: string }[] {
    return this.#work;
  }
}

export const people = new People();
