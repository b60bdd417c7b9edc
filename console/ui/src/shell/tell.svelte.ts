export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "good" | "bad";
  action?: { label: string; key?: string; run: () => void };
}

/** What is said to the reader in passing: read out by screen readers, shown for a while. */
class Tell {
  toasts = $state<Toast[]>([]);
  spoken = $state("");
  #next = 1;

  /** Shows a line. One with an action stays for 20 seconds, another for 6; it also goes by its own button. */
  show(text: string, tone: Toast["tone"] = "plain", action?: Toast["action"]): void {
    const toast: Toast = { id: this.#next++, text, tone, action };
    this.toasts = [...this.toasts.slice(-3), toast];
    setTimeout(() => this.drop(toast.id), action ? 20_000 : 6_000);
  }

  drop(id: number): void {
    this.toasts = this.toasts.filter((t) => t.id !== id);
  }

  /** Says something to screen readers alone. */
  say(text: string): void {
    this.spoken = "";
    queueMicrotask(() => (this.spoken = text));
  }

  /** The newest action that can still be taken, for the undo key. */
  get last(): Toast | undefined {
    return this.toasts.findLast((t) => t.action);
  }
}

export const tell = new Tell();
