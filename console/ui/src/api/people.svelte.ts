import { get } from "./client";
import type { UserPage } from "./gen/schema";
import { session } from "./session.svelte";

/** The names of the people who work here, as far as the reader may know them. Ids stand for those that are not known. */
class People {
  #names = $state.raw<Map<string, string>>(new Map());

  async load(): Promise<void> {
    if (!session.may("listUsers")) return;
    try {
      const page = await get<UserPage>("/users?limit=500");
      this.#names = new Map(page.items.map((u) => [u.id, u.name]));
    } catch {
      // Ids are shown.
    }
  }

  name(id: string): string {
    if (id === session.me?.id) return session.me.name;
    return this.#names.get(id) ?? id;
  }

  /** All that are known, for choosing one. */
  get all(): { id: string; name: string }[] {
    const out = [...this.#names].map(([id, name]) => ({ id, name }));
    if (session.me && !this.#names.has(session.me.id)) out.unshift({ id: session.me.id, name: session.me.name });
    return out;
  }
}

export const people = new People();
