// Text that may come from an attacker. Svelte escapes markup; what is left is text that deceives the eye.

/** Shows s with every character that is not plainly visible as an escape, and a long value without its middle. */
export function label(s: string, limit = 0): string {
  let out = "";
  for (const c of s) {
    const visible = c === " " || /[\p{L}\p{N}\p{P}\p{S}\p{M}]/u.test(c);
    if (visible) out += c;
    else {
      const n = c.codePointAt(0)!;
      out += n < 0x100 ? "\\x" + n.toString(16).padStart(2, "0") : "\\u{" + n.toString(16) + "}";
    }
  }
  if (out === "") return "(no name)";
  const runes = [...out];
  if (limit > 8 && runes.length > limit) {
    const tail = Math.floor(limit / 3);
    return runes.slice(0, limit - 1 - tail).join("") + "…" + runes.slice(-tail).join("");
  }
  return out;
}

/** A sentence of the detector, which may quote traffic: capital first, full stop last. */
export function sentence(s: string): string {
  const t = label(s.trim().split(/\s+/).join(" "));
  if (s.trim() === "") return "";
  const end = /[.!?]$/.test(t) ? "" : ".";
  return t.charAt(0).toUpperCase() + t.slice(1) + end;
}

/** Quotes s for a shell. */
export function shellWord(s: string): string {
  return s !== "" && /^[A-Za-z0-9._:/@+=-]+$/.test(s) ? s : "'" + s.replaceAll("'", `'\\''`) + "'";
}
