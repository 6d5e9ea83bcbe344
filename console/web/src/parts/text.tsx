import { useEffect, useState, useSyncExternalStore } from "react";
import { useT } from "../i18n";
import { dateTime, isSet, relative } from "./format";
import { pieces, visible } from "./visible";

/** Text of others: only ever text, isolated from what surrounds it, with what cannot be seen written out. */
export function Raw({ text, lines = false }: { text: string | undefined; lines?: boolean }) {
  const parts = pieces(text ?? "", lines);
  return (
    <bdi className={lines ? "raw lines" : "raw"}>
      {parts.map((p, i) =>
        p.shown ? (
          <span key={i} className="unseen">
            {p.text}
          </span>
        ) : (
          p.text
        ),
      )}
    </bdi>
  );
}

/** A value as it was seen: a path, a hash, a command line. */
export function Code({ text, lines = false }: { text: string | undefined; lines?: boolean }) {
  return (
    <code>
      <Raw text={text} lines={lines} />
    </code>
  );
}

let now = Date.now();
const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(f: () => void): () => void {
  watchers.add(f);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const w of watchers) w();
  }, 1000);
  return () => {
    watchers.delete(f);
    if (watchers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time of day, a second fine; one clock serves the page. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** "3 min ago", and exactly when to those who point at it. */
export function Ago({ time }: { time: string | undefined }) {
  const at = useNow();
  const t = useT();
  if (!isSet(time)) return <>{t.words.never}</>;
  return (
    <time dateTime={time} title={dateTime(time)}>
      {relative(time, at)}
    </time>
  );
}

export function When({ time }: { time: string | undefined }) {
  const t = useT();
  if (!isSet(time)) return <>{t.words.never}</>;
  return <time dateTime={time}>{dateTime(time)}</time>;
}

/** Copies a value, and says so. */
export function Copy({ text, label }: { text: string; label: string }) {
  const t = useT();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const wait = setTimeout(() => setDone(false), 2000);
    return () => clearTimeout(wait);
  }, [done]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
    } catch {
      setDone(false); // the value is on screen, to be marked by hand
    }
  };
  return (
    <button type="button" className="quiet small" aria-label={`${t.words.copy}: ${label}`} title={visible(text)} onClick={() => void copy()}>
      {done ? t.words.copied : t.words.copy}
    </button>
  );
}
