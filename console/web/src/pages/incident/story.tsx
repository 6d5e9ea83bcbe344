import { useState } from "react";
import { useData } from "../../api/cache";
import type { Items, Step } from "../../api/types";
import { useT } from "../../i18n";
import { clock, date, dateTime } from "../../parts/format";
import { Icon, isIcon, type IconName } from "../../parts/icons";
import { SeverityMark } from "../../parts/marks";
import { Said } from "../../parts/rules";
import { Show } from "../../parts/states";
import { Tell, useLabel } from "../../parts/tell";
import { Raw } from "../../parts/text";

const kinds = ["posture", "login", "process", "file", "network", "finding", "action", "state", "note"] as const;
const first = 40; // moments shown before one asks for more

const icon = (kind: string): IconName => (isIcon(kind) ? kind : "state");

/** What happened, in order, over processes, network, files, and the weakness that let it in. */
export function Story({ path }: { path: string }) {
  const t = useT();
  const answer = useData<Items<Step>>(`${path}/timeline`);
  const [off, setOff] = useState<string[]>([]);
  const [all, setAll] = useState(false);
  return (
    <section id="story" aria-labelledby="story-h">
      <h2 id="story-h">{t.incident.parts.story}</h2>
      <Show answer={answer}>
        {(data) => {
          const items = data.items ?? [];
          const there = kinds.filter((k) => items.some((m) => m.kind === k));
          const seen = items.filter((m) => !off.includes(m.kind));
          return (
            <>
              {there.length > 1 && (
                <div className="chips noprint" role="group" aria-label={t.story.show}>
                  {there.map((k) => (
                    <button
                      key={k}
                      type="button"
                      className="chip"
                      aria-pressed={!off.includes(k)}
                      onClick={() => setOff(off.includes(k) ? off.filter((x) => x !== k) : [...off, k])}
                    >
                      <Icon name={icon(k)} size={16} /> {t.story.kinds[k]}
                    </button>
                  ))}
                </div>
              )}
              {seen.length === 0 && <p className="dim">{t.story.none}</p>}
              <ol className="story">
                {(all ? seen : seen.slice(0, first)).map((m, i, list) => (
                  <Moment key={`${m.time} ${m.kind} ${m.ref ?? ""} ${i}`} step={m} newDay={i === 0 || date(list[i - 1]?.time ?? m.time) !== date(m.time)} />
                ))}
              </ol>
              {!all && seen.length > first && (
                <button type="button" className="plain" onClick={() => setAll(true)}>
                  {t.story.rest(seen.length - first)}
                </button>
              )}
            </>
          );
        }}
      </Show>
    </section>
  );
}

// What evidence is called, as the agent joins it into one line.
const keys = /(^|; )([a-z][a-z_]*): /g;

function Moment({ step: m, newDay }: { step: Step; newDay: boolean }) {
  const t = useT();
  const label = useLabel();
  const kind = kinds.find((k) => k === m.kind);
  return (
    <li className={`moment k-${kind ?? "state"}`}>
      {newDay && <p className="day">{date(m.time)}</p>}
      <time dateTime={m.time} title={dateTime(m.time)}>
        {clock(m.time)}
      </time>
      <span className="pin" title={kind ? t.story.kinds[kind] : m.kind}>
        <Icon name={icon(m.kind)} size={16} />
        <span className="sr">{kind ? t.story.kinds[kind] : m.kind}</span>
      </span>
      <div>
        <p>
          {m.subject ? <Said rule={m.ref} part="title" text={m.title} /> : <Tell text={m.title} />} {m.severity && m.severity !== "info" && <SeverityMark value={m.severity} />}
        </p>
        {m.subject && (
          <p className="dim small">
            {t.subjects[m.subject.type] ?? m.subject.type} <Raw text={m.subject.name || m.subject.id} />
          </p>
        )}
        {m.detail && (
          <p className="detail">
            {m.kind === "action" || m.kind === "process" ? <Tell text={m.detail} lines /> : <Raw text={m.subject ? m.detail.replace(keys, (_, before: string, key: string) => `${before}${label(key)}: `) : m.detail} lines />}
          </p>
        )}
      </div>
    </li>
  );
}
