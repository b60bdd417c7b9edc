import { ask, get, onSignedOut, send } from "./client";
import type { Me, Session as Answer } from "./gen/schema";
import { live } from "./live.svelte";
import { forget } from "./source.svelte";

/** Who is signed in. */
class Session {
  me = $state.raw<Me | null>(null);
  methods = $state.raw<Answer["methods"]>({ password: true, passkey: false, oidc: "", setup: false });
  ready = $state(false);
  error = $state.raw<unknown>(null);
  /** The session ended by itself while the console was open. */
  ended = $state(false);

  constructor() {
    onSignedOut(() => {
      if (this.me) this.ended = true;
      this.#out();
    });
  }

  async open(): Promise<void> {
    this.error = null;
    try {
      this.take(await get<Answer>("/session"));
    } catch (e) {
      this.error = e;
    }
  }

  /** Takes what signing in returned. */
  take(a: Answer): void {
    this.methods = a.methods;
    this.ready = true;
    if (a.me?.id !== this.me?.id) forget();
    this.me = a.me;
    if (a.me) {
      this.ended = false;
      live.start();
    }
  }

  async signIn(user: string, password: string, totp: string): Promise<void> {
    this.take(await ask<Answer>("/session", totp ? { user, password, totp } : { user, password }));
  }

  async signOut(): Promise<void> {
    await send("/session", { method: "DELETE", once: "" });
    this.#out();
  }

  /** Whether the reader may call an operation of the API, by its operationId. */
  may(operation: string): boolean {
    return this.me?.operations.includes(operation) ?? false;
  }

  #out(): void {
    this.me = null;
    live.stop();
    forget();
  }
}

export const session = new Session();
