import type { Deadline } from "../api/types";
import { useT } from "../i18n";
import { dateTime, duration, isSet } from "./format";
import { useNow } from "./text";

/** A clock that runs down: how long there still is, or since when it is over. */
export function Due({ value }: { value: Pick<Deadline, "due" | "state"> | string | undefined }) {
  const t = useT();
  const now = useNow();
  const d = typeof value === "string" ? { due: value, state: "running" as const } : value;
  if (!d || !isSet(d.due)) return <span className="dim">{t.words.none}</span>;
  const left = (new Date(d.due).getTime() - now) / 1000;
  const done = d.state !== "running" && d.state !== "missed";
  const kind = done ? "met" : left < 0 || d.state === "missed" ? "missed" : left < 3600 ? "soon" : "runs";
  const text = done ? t.deadlines.met : left < 0 ? t.deadlines.over(duration(-left)) : t.deadlines.left(duration(left));
  return (
    <time className={`due due-${kind}`} dateTime={d.due} title={dateTime(d.due)}>
      {text}
    </time>
  );
}
