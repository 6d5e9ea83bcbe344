import { useData } from "../api/cache";
import type { Items, Playbook } from "../api/types";
import { useT } from "../i18n";
import { duration } from "../parts/format";
import { SeverityMark } from "../parts/marks";
import { Empty, Page, Show } from "../parts/states";
import { Tell } from "../parts/tell";
import { Code, Raw } from "../parts/text";

const unit: Record<string, number> = { h: 3600, m: 60, s: 1 };

/** Reads what Go writes for a length of time, "1h30m0s" or nanoseconds. */
export function span(v: string | number | undefined): string {
  if (v === undefined || v === "" || v === 0) return "";
  if (typeof v === "number") return duration(v / 1e9);
  let s = 0;
  for (const m of v.matchAll(/(\d+(?:\.\d+)?)([hms])(?!s)/g)) s += Number(m[1]) * (unit[m[2] ?? "s"] ?? 0);
  return s > 0 ? duration(s) : v;
}

export default function Playbooks() {
  const t = useT();
  const answer = useData<Items<Playbook>>("/playbooks");
  return (
    <Page title={t.nav.playbooks}>
      <p className="lead">{t.playbooks.what}</p>
      <Show answer={answer}>
        {(data) =>
          (data.items ?? []).length === 0 ? (
            <Empty icon="playbooks" title={t.playbooks.none} />
          ) : (
            <>
              {(data.items ?? []).map((p) => (
                <Book key={p.name} p={p} />
              ))}
            </>
          )
        }
      </Show>
    </Page>
  );
}

function Book({ p }: { p: Playbook }) {
  const t = useT();
  const due = [
    [t.deadlines.what.isolate, span(p.deadlines?.isolated)],
    [t.deadlines.what.report, span(p.deadlines?.report)],
    [t.deadlines.what.review, span(p.deadlines?.review)],
  ].filter(([, v]) => v);
  return (
    <details className="claim">
      <summary>
        <span className="claimhead">
          <span className="claimtitle">
            <Tell text={p.title || p.name} />
          </span>
          {(p.technique ?? []).slice(0, 4).map((x) => (
            <span key={x} className="tag">
              <Raw text={x} />
            </span>
          ))}
          <span className="dim">{t.playbooks.steps((p.steps ?? []).length)}</span>
        </span>
      </summary>
      {p.description && (
        <p>
          <Tell text={p.description} lines />
        </p>
      )}
      <dl className="facts">
        <dt>{t.words.name}</dt>
        <dd>
          <Code text={p.name} />
        </dd>
        {p.trigger && (
          <>
            <dt>{t.playbooks.trigger}</dt>
            <dd>
              {p.trigger.severity && <SeverityMark value={p.trigger.severity} />}{" "}
              {[...(p.trigger.rules ?? []), ...(p.trigger.programs ?? [])].map((r) => (
                <span key={r} className="tag">
                  <Raw text={r} />
                </span>
              ))}
              {p.trigger.start && <Raw text={t.playbooks.starts[p.trigger.start] ?? p.trigger.start} />}
            </dd>
          </>
        )}
        {due.length > 0 && (
          <>
            <dt>{t.overview.deadlines}</dt>
            <dd>{due.map(([k, v]) => `${k} ≤ ${v}`).join(" · ")}</dd>
          </>
        )}
      </dl>
      <ol className="steps">
        {(p.steps ?? []).map((s) => (
          <li key={s.id} className="step">
            <div className="planhead">
              <span>
                <Tell text={s.title} />
              </span>
              <span className="tag">{t.playbooks.kinds[s.kind] ?? s.kind}</span>
            </div>
            {s.description && (
              <p className="dim">
                <Tell text={s.description} lines />
              </p>
            )}
            {s.action && (
              <p className="dim">
                <Code text={`${s.action.responder}/${s.action.op}`} />
              </p>
            )}
          </li>
        ))}
      </ol>
    </details>
  );
}
