// Filters live in the address, so that a view can be kept, sent and gone back to.

import { useCallback, useEffect, useId, useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { useT } from "../i18n";

export interface Filters {
  get: (name: string) => string;
  set: (name: string, value: string) => void;
  clear: () => void;
  /** The query for the agent, without what is not set. */
  query: string;
  any: boolean;
}

export function useFilters(names: readonly string[], preset: Record<string, string> = {}): Filters {
  const [params, setParams] = useSearchParams();
  const get = useCallback((name: string) => params.get(name) ?? preset[name] ?? "", [params, preset]);
  const set = useCallback(
    (name: string, value: string) =>
      setParams(
        (old) => {
          const next = new URLSearchParams(old);
          if (value === (preset[name] ?? "")) next.delete(name);
          else next.set(name, value === "" ? "any" : value);
          return next;
        },
        { replace: true },
      ),
    [setParams, preset],
  );
  const clear = useCallback(() => setParams(new URLSearchParams(), { replace: true }), [setParams]);
  const query = useMemo(() => {
    const q = new URLSearchParams();
    for (const n of names) {
      const v = get(n);
      if (v && v !== "any") q.set(n, n === "since" ? since(v) : v);
    }
    return q.toString();
  }, [names, get]);
  return { get, set, clear, query, any: names.some((n) => params.has(n)) };
}

/** "24h" becomes the time a day ago, to the minute: a query that changed each second would never be answered from the cache. */
export function since(v: string, now = Date.now()): string {
  const m = /^(\d{1,4})h$/.exec(v);
  if (!m) return v;
  return new Date(Math.floor((now - Number(m[1]) * 3_600_000) / 60_000) * 60_000).toISOString().replace(".000", "");
}

interface SelectProps {
  filters: Filters;
  name: string;
  label: string;
  options: [value: string, text: string][];
}

export function Select({ filters, name, label, options }: SelectProps) {
  const t = useT();
  const id = useId();
  const value = filters.get(name);
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value === "any" ? "" : value} onChange={(e) => filters.set(name, e.target.value)}>
        <option value="">{t.filters.any}</option>
        {options.map(([v, text]) => (
          <option key={v} value={v}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

const rest = 250; // ms after the last key before it is asked

export function Search({ filters, name, label, type = "search" }: { filters: Filters; name: string; label: string; type?: "search" | "text" }) {
  const id = useId();
  const now = filters.get(name);
  const [text, setText] = useState(now);
  useEffect(() => setText(now), [now]);
  const { set } = filters;
  useEffect(() => {
    if (text === now) return;
    const wait = setTimeout(() => set(name, text), rest);
    return () => clearTimeout(wait);
  }, [text, now, name, set]);
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <input id={id} type={type} maxLength={200} spellCheck={false} value={text} onChange={(e) => setText(e.target.value)} />
    </div>
  );
}
