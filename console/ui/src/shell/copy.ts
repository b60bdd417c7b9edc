import { tell } from "./tell.svelte";

/** Puts text on the clipboard and says so. */
export async function copy(text: string, said: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell.show(said);
  } catch {
    tell.show("The browser did not allow it. Select the text and copy it by hand.", "bad");
  }
}
