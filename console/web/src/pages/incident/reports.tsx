import { useState } from "react";
import { invalidate, useData } from "../../api/cache";
import { base, get, post, query } from "../../api/client";
import type { Collection, Incident, Items, Verification } from "../../api/types";
import { useLanguage, useT } from "../../i18n";
import { Act, Ask } from "../../parts/act";
import { bytes, isSet } from "../../parts/format";
import { useAuth } from "../../parts/session";
import { Failed, NeedNote } from "../../parts/states";
import { Tell, useTell } from "../../parts/tell";
import { Ago, Code, Raw } from "../../parts/text";
import { say } from "../../parts/toast";

const kinds = ["incident", "review"] as const;
const formats = ["html", "pdf", "md", "json"] as const;

export function Reports({ path }: { path: string }) {
  const t = useT();
  const lang = useLanguage();
  const { can } = useAuth();
  return (
    <section id="reports" aria-labelledby="reports-h" className="noprint">
      <h2 id="reports-h">{t.incident.parts.reports}</h2>
      <NeedNote need="analyst" />
      {can("analyst") && kinds.map((kind) => (
        <p key={kind}>
          {t.reports.kinds[kind]}:{" "}
          {formats.map((format) => (
            <a
              key={format}
              className="tag"
              href={`${base}${path}/report${query({ kind, format, lang })}`}
              aria-label={`${t.reports.kinds[kind]}: ${format}`}
              download={format === "html" ? undefined : true}
              target={format === "html" ? "_blank" : undefined}
              rel="noreferrer"
            >
              {format}
            </a>
          ))}
        </p>
      ))}
    </section>
  );
}

const memories = ["exec", "whole", "none"] as const;

/** Evidence that was put aside: collect it before anything is killed, and prove later that nobody changed it. */
export function Kept({ inc, path }: { inc: Incident; path: string }) {
  const t = useT();
  const tell = useTell();
  const answer = useData<Items<Collection>>("/evidence");
  const [ask, setAsk] = useState(false);
  const [memory, setMemory] = useState<(typeof memories)[number]>("exec");
  const [verdict, setVerdict] = useState<Record<string, string>>({});
  if (answer.error?.status === 404) return null;
  const mine = (answer.data?.items ?? []).filter((b) => b.incident === inc.id);
  const verify = async (id: string) => {
    try {
      const v = await get<Verification>(`/evidence/${encodeURIComponent(id)}/verify`);
      setVerdict((old) => ({ ...old, [id]: v.ok ? t.kept.whole : `${t.kept.broken} ${(v.faults ?? []).map(tell).join("; ")}` }));
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <section id="kept" aria-labelledby="kept-h">
      <h2 id="kept-h">{t.kept.title}</h2>
      {answer.error && <Failed error={answer.error} retry={answer.reload} />}
      {mine.length === 0 && <p className="dim">{t.kept.none}</p>}
      <ul className="plainlist">
        {mine.map((b) => (
          <li key={b.id}>
            <Code text={b.id} />
            <p className="dim">
              {isSet(b.done) ? <Ago time={b.done} /> : t.kept.states[b.state]} · <Raw text={b.who} /> · {t.kept.holds(b.parts, bytes(b.bytes))}
              {b.skipped > 0 && ` · ${t.kept.skipped(b.skipped)}`}
            </p>
            {(b.error || b.partial) && (
              <p className="warn">
                <Tell text={b.error || b.partial} />
              </p>
            )}
            <Act need="responder" label={`${t.kept.verify}: ${b.id}`} onClick={() => void verify(b.id)}>
              {t.kept.verify}
            </Act>{" "}
            <span role="status">{verdict[b.id] && <Raw text={verdict[b.id]} />}</span>
          </li>
        ))}
      </ul>
      <Act need="responder" onClick={() => setAsk(true)}>
        {t.kept.collect}
      </Act>
      {ask && (
        <Ask
          title={t.kept.collect}
          verb={t.kept.collect}
          why
          done={t.kept.begun}
          onClose={() => setAsk(false)}
          run={async (why) => {
            await post(`${path}/evidence`, { memory, why });
            invalidate("/evidence", path);
          }}
        >
          <div className="field">
            <label htmlFor="memory">{t.kept.memory}</label>
            <select id="memory" value={memory} onChange={(e) => setMemory(memories.find((m) => m === e.target.value) ?? "exec")}>
              {memories.map((m) => (
                <option key={m} value={m}>
                  {t.kept.memories[m]}
                </option>
              ))}
            </select>
          </div>
        </Ask>
      )}
    </section>
  );
}
