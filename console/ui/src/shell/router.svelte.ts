import { routes } from "./routes";
import { match, patch, type Values } from "./url";

/** Where the reader is. Reading a member in a component follows it. */
class Place {
  path = $state(location.pathname);
  search = $state(location.search);
  /** Rises with each move that the reader made; views take it as the sign to move focus. */
  moves = $state(0);
  readonly match = $derived(match(routes, this.path));
  readonly query = $derived(new URLSearchParams(this.search));

  get params(): Record<string, string> {
    return this.match?.params ?? {};
  }

  get(name: string): string {
    return this.query.get(name) ?? "";
  }

  all(name: string): string[] {
    return this.query.getAll(name);
  }

  /** Goes to an address of the console. */
  go(url: string, how: { replace?: boolean } = {}): void {
    if (url === this.path + this.search) return;
    history[how.replace ? "replaceState" : "pushState"](null, "", url);
    this.#read(true);
  }

  /** Changes values of the query and stays on the page: the change can be shared, and costs no step of the history. */
  set(values: Values, how: { push?: boolean } = {}): void {
    const search = patch(location.search, values);
    if (search === location.search) return;
    history[how.push ? "pushState" : "replaceState"](null, "", this.path + search);
    this.#read(false);
  }

  #read(moved: boolean): void {
    const other = this.path !== location.pathname;
    this.path = location.pathname;
    this.search = location.search;
    if (moved && other) this.moves++;
  }

  /** Follows the browser's buttons, and every link to the console that is pressed without a modifier. */
  listen(): void {
    addEventListener("popstate", () => this.#read(true));
    document.addEventListener("click", (e) => {
      if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
      const a = (e.target as Element | null)?.closest?.("a");
      if (!a || a.target || a.hasAttribute("download") || a.origin !== location.origin) return;
      if (!match(routes, a.pathname)) return; // of the server: an export, the API's description
      e.preventDefault();
      this.go(a.pathname + a.search);
    });
  }
}

export const place = new Place();
