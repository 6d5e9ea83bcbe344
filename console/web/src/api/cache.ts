// What was asked last, by path: pages show it at once while it is asked again, and events say what is stale.

import { useCallback, useEffect, useSyncExternalStore } from "react";
import { ApiError, get } from "./client";

export interface Answer<T> {
  data?: T;
  error?: ApiError;
  /** Asked and not answered yet; data may hold an older answer. */
  loading: boolean;
}

interface Entry {
  answer: Answer<unknown>;
  stale: boolean;
  asking?: AbortController | undefined;
  watchers: Set<() => void>;
}

const maxEntries = 200; // each is one answer; the oldest that nobody watches goes
const entries = new Map<string, Entry>();
const idle: Answer<unknown> = { loading: true };

function entry(path: string): Entry {
  let e = entries.get(path);
  if (!e) {
    if (entries.size >= maxEntries) {
      for (const [k, v] of entries) {
        if (v.watchers.size === 0) {
          entries.delete(k);
          break;
        }
      }
    }
    e = { answer: idle, stale: true, watchers: new Set() };
    entries.set(path, e);
  }
  return e;
}

function tell(e: Entry, answer: Answer<unknown>): void {
  e.answer = answer;
  for (const w of e.watchers) w();
}

async function ask(path: string, e: Entry): Promise<void> {
  e.asking?.abort();
  const ctl = new AbortController();
  e.asking = ctl;
  e.stale = false;
  if (!e.answer.loading) tell(e, { ...e.answer, loading: true });
  try {
    const data = await get<unknown>(path, ctl.signal);
    if (e.asking === ctl) tell(e, { data, loading: false });
  } catch (err) {
    if (e.asking !== ctl) return;
    const error = err instanceof ApiError ? err : new ApiError(0, String(err), "");
    tell(e, error.status === 0 ? { ...e.answer, error, loading: false } : { error, loading: false });
  } finally {
    if (e.asking === ctl) e.asking = undefined;
  }
}

/** Marks every answer whose path starts with one of these as old; those on screen are asked again. */
export function invalidate(...prefixes: string[]): void {
  for (const [path, e] of entries) {
    if (!prefixes.some((p) => path.startsWith(p))) continue;
    e.stale = true;
    if (e.watchers.size > 0) void ask(path, e);
  }
}

/** Forgets everything: another person may log in. */
export function forget(): void {
  for (const e of entries.values()) e.asking?.abort();
  for (const [path, e] of entries) {
    if (e.watchers.size === 0) entries.delete(path);
    else {
      e.stale = true;
      tell(e, idle);
    }
  }
}

/** Asks for a path while the component lives; null asks nothing. */
export function useData<T>(path: string | null): Answer<T> & { reload: () => void } {
  const subscribe = useCallback(
    (f: () => void) => {
      if (path === null) return () => {};
      const e = entry(path);
      e.watchers.add(f);
      return () => {
        e.watchers.delete(f);
      };
    },
    [path],
  );
  const answer = useSyncExternalStore(subscribe, () => (path === null ? idle : entry(path).answer)) as Answer<T>;
  const reload = useCallback(() => {
    if (path !== null) void ask(path, entry(path));
  }, [path]);
  useEffect(() => {
    if (path === null) return;
    const e = entry(path);
    if (e.stale && !e.asking) void ask(path, e);
  }, [path]);
  return { ...answer, reload };
}

/** Asks again every so many milliseconds while the page can be seen. */
export function usePolling(reload: () => void, every: number): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") reload();
    }, every);
    return () => clearInterval(timer);
  }, [reload, every]);
}
