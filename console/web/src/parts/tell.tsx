// What the agent says, in the reader's language. It writes English; who reads another language gets that from the agent's own table, and
// English, marked as such, where the table has nothing.

import { useData } from "../api/cache";
import type { Items } from "../api/types";
import { useLanguage } from "../i18n";
import { book, phrase, type Book, type Phrase } from "./phrases";
import { Raw } from "./text";

const books = new WeakMap<Phrase[], { book: Book; said: Map<string, string> }>();
const none: Phrase[] = [];
const most = 2000; // sentences remembered

function lookUp(phrases: Phrase[], text: string): string | undefined {
  let b = books.get(phrases);
  if (!b) {
    b = { book: book(phrases), said: new Map() };
    books.set(phrases, b);
  }
  let out = b.said.get(text);
  if (out === undefined) {
    out = phrase(b.book, text) ?? "";
    if (b.said.size >= most) b.said.clear();
    b.said.set(text, out);
  }
  return out || undefined;
}

/** Returns a sentence of the agent as the reader should see it; as it is until the table is there. */
export function useTell(): (text: string | undefined) => string {
  const phrases = useData<Items<Phrase>>(useLanguage() === "zh" ? "/texts?lang=zh" : null).data?.items ?? none;
  return (text) => (text && phrases !== none ? (lookUp(phrases, text) ?? text) : (text ?? ""));
}

/** Returns what evidence of a key is called. */
export function useLabel(): (key: string) => string {
  const tell = useTell();
  return (key) => {
    const told = tell(key);
    return told === key ? key.replaceAll("_", " ") : told;
  };
}

const english = /[A-Za-z]{2}.* .*[A-Za-z]{2}/s;
const han = /\p{Script=Han}/u;

/** The language of a text where it is not the page's. */
export const tongue = (text: string, zh: boolean): "en" | undefined => (zh && english.test(text) && !han.test(text) ? "en" : undefined);

export function Tell({ text, lines = false }: { text: string | undefined; lines?: boolean }) {
  const zh = useLanguage() === "zh";
  const told = useTell()(text);
  return (
    <span lang={tongue(told, zh)}>
      <Raw text={told} lines={lines} />
    </span>
  );
}
