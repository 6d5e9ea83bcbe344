// What happens now: one stream of server-sent events, which says what of the cache is old.

import { useEffect, useState, useSyncExternalStore } from "react";
import { invalidate } from "./cache";
import { base } from "./client";

export const kinds = ["incident", "finding", "action", "sensor", "drill", "run", "deadline", "posture"] as const;
export type EventKind = (typeof kinds)[number];

/** The paths whose answers an event makes old. */
export const stale: Record<EventKind, string[]> = {
  incident: ["/overview", "/incidents"],
  finding: ["/overview", "/incidents/"],
  action: ["/overview", "/incidents", "/actions", "/posture"],
  sensor: ["/overview", "/sensors"],
  drill: ["/drills"],
  run: ["/incidents/", "/overview"],
  deadline: ["/incidents", "/overview"],
  posture: ["/posture", "/overview"],
};

type Listener = (data: unknown) => void;
export type LinkState = "off" | "connecting" | "live" | "lost";

const pause = 300; // ms: events come in bursts, and one answer serves all of a burst
const listeners = new Map<EventKind, Set<Listener>>();
const watchers = new Set<() => void>();
let source: EventSource | null = null;
let state: LinkState = "off";
let pending = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;

function set(next: LinkState): void {
  if (next === state) return;
  state = next;
  for (const w of watchers) w();
}

function mark(paths: string[]): void {
  for (const p of paths) pending.add(p);
  timer ??= setTimeout(() => {
    timer = undefined;
    const all = [...pending];
    pending = new Set();
    invalidate(...all);
  }, pause);
}

function hear(kind: EventKind, e: MessageEvent<string>): void {
  let data: unknown;
  try {
    data = JSON.parse(e.data);
  } catch {
    data = undefined; // the event still says that something changed
  }
  mark(stale[kind]);
  for (const f of listeners.get(kind) ?? []) f(data);
}

let retry: ReturnType<typeof setTimeout> | undefined;

export function connect(): void {
  if (source) return;
  set("connecting");
  let wasLost = false;
  source = new EventSource(base + "/events");
  source.onopen = () => {
    set("live");
    if (wasLost) invalidate("/"); // what happened meanwhile may not be repeated
    wasLost = false;
  };
  source.onerror = () => {
    set("lost");
    wasLost = true;
    if (source?.readyState === EventSource.CLOSED) {
      source = null; // a refusal ends an EventSource for good
      clearTimeout(retry);
      retry = setTimeout(() => {
        connect();
        invalidate("/");
      }, 5000);
    }
  };
  // The agent counts what this stream could not take, and says when it was away for too long: then nothing known is sure.
  for (const missed of ["lost", "reset"]) source.addEventListener(missed, () => invalidate("/"));
  for (const kind of kinds) source.addEventListener(kind, (e) => hear(kind, e as MessageEvent<string>));
}

export function disconnect(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
  set("off");
}

/** Calls f with the data of each event of a kind. */
export function listen(kind: EventKind, f: Listener): () => void {
  const all = listeners.get(kind) ?? new Set();
  listeners.set(kind, all.add(f));
  return () => all.delete(f);
}

/** Counts up, at most once in a pause, when one of these kinds happens. */
export function useLive(...of: EventKind[]): number {
  const [n, setN] = useState(0);
  const key = of.join();
  useEffect(() => {
    let wait: ReturnType<typeof setTimeout> | undefined;
    const bump = () => {
      wait ??= setTimeout(() => {
        wait = undefined;
        setN((v) => v + 1);
      }, pause);
    };
    const off = (key.split(",") as EventKind[]).map((k) => listen(k, bump));
    return () => {
      clearTimeout(wait);
      for (const f of off) f();
    };
  }, [key]);
  return n;
}

export function useLink(): LinkState {
  return useSyncExternalStore(
    (f) => {
      watchers.add(f);
      return () => watchers.delete(f);
    },
    () => state,
  );
}
