// Server-sent events, read by fetch: EventSource gives no event whose kind was not known beforehand, and no status.

export interface Message {
  id: string;
  event: string;
  data: string;
}

/** Takes the text of a stream piece by piece and gives the messages that are complete. */
export class Reader {
  #rest = "";
  #message: Message = { id: "", event: "", data: "" };

  push(text: string): Message[] {
    const out: Message[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const m = this.#message;
      if (line === "") {
        if (m.data !== "") out.push({ ...m, data: m.data.slice(0, -1) });
        this.#message = { id: m.id, event: "", data: "" };
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") m.data += value + "\n";
      else if (field === "event") m.event = value;
      else if (field === "id") m.id = value;
    }
    return out;
  }
}
