// What has just happened, said aloud by a screen reader and shown for some seconds.

import { useSyncExternalStore } from "react";
import { visible } from "./visible";

interface Toast {
  id: number;
  text: string;
}

const stay = 8000; // ms
const most = 3;
let toasts: Toast[] = [];
let last = 0;
const watchers = new Set<() => void>();

function set(next: Toast[]): void {
  toasts = next;
  for (const w of watchers) w();
}

/** Says it once; text of others is made visible first. */
export function say(text: string): void {
  const id = ++last;
  set([...toasts, { id, text: visible(text) }].slice(-most));
  setTimeout(() => set(toasts.filter((x) => x.id !== id)), stay);
}

export function Toasts() {
  const all = useSyncExternalStore(
    (f) => {
      watchers.add(f);
      return () => watchers.delete(f);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {all.map((x) => (
        <p key={x.id} className="toast">
          {x.text}
        </p>
      ))}
    </div>
  );
}
