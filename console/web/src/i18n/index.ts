// The language of the console: one of two, chosen by the reader, else by the browser.

import { useSyncExternalStore } from "react";
import type { Messages } from "./en";

export type Language = "en" | "zh";
export const languages: Language[] = ["en", "zh"];

const key = "mw.language";
const loaders: Record<Language, () => Promise<Messages>> = {
  en: async () => (await import("./en")).en,
  zh: async () => (await import("./zh")).zh,
};

let current: Language = "en";
let messages: Messages | undefined;
const watchers = new Set<() => void>();

function stored(): Language | undefined {
  try {
    const v = localStorage.getItem(key);
    return languages.find((l) => l === v);
  } catch {
    return undefined; // a browser may forbid storage
  }
}

export const preferred = (): Language => stored() ?? (navigator.languages.some((l) => l.toLowerCase().startsWith("zh")) ? "zh" : "en");

export async function setLanguage(next: Language, keep = true): Promise<void> {
  messages = await loaders[next]();
  current = next;
  if (keep) {
    try {
      localStorage.setItem(key, next);
    } catch {
      // then it lasts as long as the page
    }
  }
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
  for (const w of watchers) w();
}

/** The messages of now; before the first are loaded there is no console. */
export function t(): Messages {
  if (!messages) throw new Error("no language is loaded");
  return messages;
}

export const language = (): Language => current;
export const locale = (): string => (current === "zh" ? "zh-CN" : "en-GB");

function subscribe(f: () => void): () => void {
  watchers.add(f);
  return () => watchers.delete(f);
}

export function useT(): Messages {
  return useSyncExternalStore(subscribe, t);
}

export function useLanguage(): Language {
  return useSyncExternalStore(subscribe, language);
}
