// Sentences of the agent in another language: the agent writes English and has a table of what it can say, with %s and the like for what
// it puts in. The same rules as internal/chinese of the agent.

export interface Phrase {
  en: string;
  zh: string;
}

interface Pattern {
  literals: string[];
  kinds: string[];
  length: number;
  worded: boolean;
  zh: string;
}

export interface Book {
  whole: Map<string, string>;
  open: Pattern[];
}

const verb = /%(?:%|[-+# 0]*[0-9]*(?:\.[0-9]+)?([a-zA-Z]))/g;
const hole = /\{([1-9])(~?)\}/g;
const longest = 4096; // what is compared with the table
const deepest = 3;

function pattern(p: Phrase): Pattern {
  const literals: string[] = [];
  const kinds: string[] = [];
  let literal = "";
  let at = 0;
  for (const m of p.en.matchAll(verb)) {
    literal += p.en.slice(at, m.index);
    at = m.index + m[0].length;
    if (!m[1]) {
      literal += "%";
      continue;
    }
    literals.push(literal);
    kinds.push(m[1]);
    literal = "";
  }
  literals.push(literal + p.en.slice(at));
  const words = literals.join("");
  return { literals, kinds, length: words.length, worded: /\p{L}/u.test(words), zh: p.zh };
}

export function book(phrases: Phrase[]): Book {
  const whole = new Map<string, string>();
  const open: Pattern[] = [];
  for (const p of phrases) {
    const x = pattern(p);
    if (x.kinds.length === 0) whole.set(x.literals[0] ?? "", x.zh);
    else open.push(x);
  }
  open.sort((a, b) => Number(b.literals[0] !== "") - Number(a.literals[0] !== "") || b.length - a.length);
  return { whole, open };
}

/** What stands for the verbs. Each character is looked at a few times at most, whoever wrote the text. */
function match(p: Pattern, text: string): string[] | undefined {
  const first = p.literals[0] ?? "";
  if (!text.startsWith(first)) return undefined;
  let s = text.slice(first.length);
  const holes: string[] = [];
  for (const [i, kind] of p.kinds.entries()) {
    const literal = p.literals[i + 1] ?? "";
    const last = i === p.kinds.length - 1;
    const end =
      kind === "q" ? (/^"(?:[^"\\]|\\.)*"/.exec(s)?.[0].length ?? 0)
      : kind === "d" ? (/^-?\d+/.exec(s)?.[0].length ?? 0)
      : last ? s.length - literal.length
      : s.indexOf(literal);
    if (end <= 0 || !s.startsWith(literal, end) || (last && s.length !== end + literal.length)) return undefined;
    holes.push(s.slice(0, end));
    s = s.slice(end + literal.length);
  }
  return holes;
}

/** The sentence in the other language; undefined: nobody translated it. */
export function phrase(b: Book, text: string, depth = deepest): string | undefined {
  const whole = b.whole.get(text);
  if (whole !== undefined) return whole;
  if (text.length > longest || depth === 0) return undefined;
  for (const p of b.open) {
    const holes = match(p, text);
    if (!holes) continue;
    let said = p.worded; // a pattern without a word says nothing by itself: something in it must be translated
    const out = p.zh.replace(hole, (m, n: string, more: string) => {
      const h = holes[Number(n) - 1];
      if (h === undefined) return m;
      const inner = more ? phrase(b, h, depth - 1) : undefined;
      said ||= inner !== undefined;
      return inner ?? h;
    });
    if (said) return out;
  }
  if (text.includes("; ")) {
    const parts = text.split("; ").map((x) => phrase(b, x, depth - 1));
    if (parts.every((x) => x !== undefined)) return parts.join("；");
  }
  return undefined;
}
