import { get } from "./client";
import { session } from "./session.svelte";

/** The names of the people who work here, as far as the reader may know them. Ids stand for those that are not known. */
class People {
  #names = $state.raw<Map<string, string>>(new Map());

  async load(): Promise<void> {
    const path = session.may("listPeople") ? "/people" : session.may("listUsers") ? "/users?limit=500" : "";
    if (!path) return;
    try {
      const page = await get<{ items: { id: string; name: string }[] }>(path);
      this.#names = new Map(page.items.map((u) => [u.id, u.name]));
    } catch {
      // Ids are shown.
    }
  }

  /** The name of a person, or the beginning of the id where the name is not known. */
  name(id: string): string {
    if (id === session.me?.id) return session.me.name;
    return this.#names.get(id) ?? (id.length > 12 ? id.slice(0, 9) + "…" : id);
  }

  /** All that are known, for choosing one. */
  get all(): { id: string; name: string }[] {
    const out = [...this.#names].map(([id, name]) => ({ id, name }));
    if (session.me && !this.#names.has(session.me.id)) out.unshift({ id: session.me.id, name: session.me.name });
    return out;
  }
}

export const people = new People();
