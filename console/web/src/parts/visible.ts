// Text of others, made safe to look at: what would be invisible, or would turn the line around, is written out.

// Control, format, unassigned and private characters, line separators, and letters that look like nothing.
const hidden = /[\p{C}\u2028\u2029\u115F\u1160\u3164\uFFA0\u2800\u034F\u17B4\u17B5\u{E0100}-\u{E01EF}\uFE00-\uFE0F]/gu;

export interface Piece {
  text: string;
  /** It stands for a character that cannot be seen. */
  shown: boolean;
}

const name = (c: string) => `U+${c.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}`;

/** Splits text into what may be shown as it is and names for the rest; lines keep their ends where they are wanted. */
export function pieces(text: string, lines = false): Piece[] {
  const out: Piece[] = [];
  let from = 0;
  for (const m of text.matchAll(hidden)) {
    if (lines && (m[0] === "\n" || m[0] === "\t")) continue;
    if (m.index > from) out.push({ text: text.slice(from, m.index), shown: false });
    out.push({ text: name(m[0]), shown: true });
    from = m.index + m[0].length;
  }
  if (from < text.length) out.push({ text: text.slice(from), shown: false });
  return out;
}

/** The same as one string, for attributes, titles and SVG. */
export function visible(text: string): string {
  return pieces(text)
    .map((p) => (p.shown ? `‹${p.text}›` : p.text))
    .join("");
}
