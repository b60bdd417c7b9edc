export type Theme = "auto" | "light" | "dark";

function read(name: string): string {
  try {
    return localStorage.getItem("palladium." + name) ?? "";
  } catch {
    return "";
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem("palladium." + name, value);
  } catch {
    // Storage is closed to us: the choice holds until the page is left.
  }
}

/** What one reader prefers on this machine. Nothing that changes what is shown of the data. */
class Settings {
  #theme = $state<Theme>((["light", "dark"].includes(read("theme")) ? read("theme") : "auto") as Theme);
  #keys = $state(read("keys") !== "off");
  #dark = $state(matchMedia("(prefers-color-scheme: dark)").matches);

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => (this.#dark = e.matches));
    this.#show();
  }

  get theme(): Theme {
    return this.#theme;
  }

  set theme(t: Theme) {
    this.#theme = t;
    keep("theme", t);
    this.#show();
  }

  /** Whether keys without a modifier do anything. */
  get keys(): boolean {
    return this.#keys;
  }

  set keys(on: boolean) {
    this.#keys = on;
    keep("keys", on ? "on" : "off");
  }

  /** Whether the page is dark now, whoever decided it. Charts and graphs draw by it. */
  get dark(): boolean {
    return this.#theme === "auto" ? this.#dark : this.#theme === "dark";
  }

  #show(): void {
    document.documentElement.dataset.theme = this.#theme;
  }
}

export const settings = new Settings();
