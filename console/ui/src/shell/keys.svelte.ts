// Keys. A view says which it knows while it is shown; the last to say so wins. Characters can be turned off (WCAG 2.1.4):
// then only keys with a modifier, and Escape, do anything.

import { untrack } from "svelte";
import { settings } from "./settings.svelte";

export interface Key {
  keys: string; // "j", "Enter", "g q", "mod+k", "?"
  says: string;
  group?: string;
  run: (e: KeyboardEvent) => void;
  when?: () => boolean;
  typing?: boolean; // also while text is being typed
}

class Keys {
  // Not state: while an effect is undone, state reads as it was before, and sets that were added since would be lost.
  #sets: Key[][] = [];
  #changes = $state(0);
  #waiting = ""; // first letter of a sequence
  #timer = 0;

  /** What holds now, for the help: the nearest first, each key once. */
  readonly known = $derived.by(() => {
    void this.#changes;
    const seen = new Set<string>();
    return [...this.#sets].reverse().flat().filter((k) => !seen.has(k.keys) && seen.add(k.keys));
  });

  /** Takes keys in; call what it returns to let go of them. Use within $effect. */
  add(set: Key[]): () => void {
    this.#sets.push(set);
    untrack(() => this.#changes++);
    return () => {
      this.#sets = this.#sets.filter((s) => s !== set);
      untrack(() => this.#changes++);
    };
  }

  listen(): void {
    addEventListener("keydown", (e) => this.#press(e));
  }

  #press(e: KeyboardEvent): void {
    if (e.defaultPrevented || e.isComposing) return;
    const name = this.#name(e);
    if (name === "") return;
    const modified = name.includes("+") || name === "Escape";
    if (!modified && !settings.keys && name.length === 1) return;
    const at = e.target instanceof Element ? e.target : null;
    const typing = !!at?.closest("input:not([type=checkbox],[type=radio],[type=button]), textarea, select, [contenteditable=true]");
    // A button or link that has focus keeps its own keys.
    if ((name === "Enter" || name === " ") && at?.closest("a[href], button, summary, [role=tab], input, textarea, select")) return;
    const full = this.#waiting ? this.#waiting + " " + name : name;
    const dialog = document.querySelector("dialog[open]");
    if (dialog && name === "Escape") return; // the dialog closes by itself
    for (const set of [...this.#sets].reverse()) {
      for (const k of set) {
        if (k.when && !k.when()) continue;
        if (typing && !k.typing && !modified) continue;
        if (dialog && !modified) continue;
        if (k.keys === full) {
          e.preventDefault();
          this.#wait("");
          k.run(e);
          return;
        }
      }
    }
    if (typing || dialog || modified) return;
    const starts = this.#sets.flat().some((k) => k.keys.startsWith(name + " "));
    this.#wait(!this.#waiting && starts ? name : "");
  }

  #wait(name: string): void {
    clearTimeout(this.#timer);
    this.#waiting = name;
    if (name) this.#timer = window.setTimeout(() => (this.#waiting = ""), 1200);
  }

  #name(e: KeyboardEvent): string {
    if (["Shift", "Control", "Alt", "Meta"].includes(e.key)) return "";
    const mod = e.ctrlKey || e.metaKey;
    if (e.altKey) return "";
    return (mod ? "mod+" : "") + (mod && e.key.length === 1 ? e.key.toLowerCase() : e.key);
  }
}

export const keys = new Keys();

const mac = /Mac|iPhone|iPad/.test(navigator.platform);

/** How a key is written for the reader, one part for each key to press. */
export function written(k: string): string[] {
  return k.split(" ").map((part) => part.replace("mod+k", mac ? "⌘K" : "Ctrl K").replace("Escape", "Esc").replace("mod+Enter", mac ? "⌘↵" : "Ctrl ↵").replace("Enter", "↵"));
}
