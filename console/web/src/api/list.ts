// A list that the agent gives in pages: more is asked for as the reader comes near the end.

import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, get } from "./client";

export interface Page<T> {
  items: T[] | null;
  next?: string | undefined;
}

export interface List<T> {
  items: T[];
  /** There is more to ask for. */
  more: boolean;
  loading: boolean;
  error?: ApiError | undefined;
  askMore: () => void;
  reload: () => void;
}

const pageSize = 500; // the most that the agent gives at once

/** Puts the first page, asked again, before what was read already: rows that moved up are not shown twice. */
export function refresh<T>(old: T[], first: T[], id: (row: T) => string): T[] {
  const seen = new Set(first.map(id));
  return [...first, ...old.filter((row) => !seen.has(id(row)))];
}

/** Lists path, which has its filters in the query; live says when its head may have changed. */
export function useList<T>(path: string, id: (row: T) => string, live: number): List<T> {
  const [state, setState] = useState<{ path: string; items: T[]; next: string | undefined; error?: ApiError; loading: boolean }>({
    path,
    items: [],
    next: undefined,
    loading: true,
  });
  const asking = useRef<AbortController | null>(null);
  const idRef = useRef(id);
  idRef.current = id;
  const current = state.path === path ? state : { path, items: [], next: undefined, loading: true, error: undefined };

  const ask = useCallback(
    async (after: string | undefined, head: boolean) => {
      asking.current?.abort();
      const ctl = new AbortController();
      asking.current = ctl;
      const sep = path.includes("?") ? "&" : "?";
      const url = `${path}${sep}limit=${pageSize}${after ? `&after=${encodeURIComponent(after)}` : ""}`;
      setState((s) => (s.path === path ? { ...s, loading: true } : s));
      try {
        const page = await get<Page<T>>(url, ctl.signal);
        const got = page.items ?? [];
        setState((s) => {
          const same = s.path === path;
          if (head && same && s.items.length > got.length && page.next) {
            return { path, items: refresh(s.items, got, idRef.current), next: s.next, loading: false };
          }
          return { path, items: same && after ? s.items.concat(got) : got, next: page.next || undefined, loading: false };
        });
      } catch (e) {
        if (asking.current !== ctl) return;
        const error = e instanceof ApiError ? e : new ApiError(0, String(e), "");
        setState((s) => ({ path, items: s.path === path ? s.items : [], next: s.path === path ? s.next : undefined, error, loading: false }));
      } finally {
        if (asking.current === ctl) asking.current = null;
      }
    },
    [path],
  );

  useEffect(() => {
    void ask(undefined, true);
    return () => {
      asking.current?.abort();
      asking.current = null;
    };
  }, [ask, live]);

  const askMore = useCallback(() => {
    if (current.next && !asking.current) void ask(current.next, false);
  }, [ask, current.next]);
  const reload = useCallback(() => void ask(undefined, false), [ask]);
  return { items: current.items, more: current.next !== undefined, loading: current.loading, error: current.error, askMore, reload };
}
