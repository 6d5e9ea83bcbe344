// The five questions of somebody who has just been woken: what happened, how sure are we, what was done, how is it undone,
// what next.

import { useState } from "react";
import { useData } from "../../api/cache";
import type { Action, Incident, IncidentFinding, Items, Receipt, Run, Severity } from "../../api/types";
import { useT } from "../../i18n";
import { Act } from "../../parts/act";
import { isSet, number } from "../../parts/format";
import { Sure } from "../../parts/marks";
import { Said, useSaid } from "../../parts/rules";
import { useAuth } from "../../parts/session";
import { Tell, useTell } from "../../parts/tell";
import { Raw } from "../../parts/text";
import { visible } from "../../parts/visible";
import { DoAction, harmless, possible, Undo } from "./actions";

const rank: Record<Severity, number> = { info: 0, low: 1, medium: 2, high: 3, critical: 4 };

/** Findings, the worst and surest first. */
export function byWeight(findings: IncidentFinding[] | null | undefined): IncidentFinding[] {
  return [...(findings ?? [])].sort((a, b) => rank[b.severity] - rank[a.severity] || b.confidence - a.confidence || a.time.localeCompare(b.time));
}

export const worst = (inc: Incident): IncidentFinding | undefined => byWeight(inc.findings)[0];

/** The independent kinds of evidence: what stands before the slash of a rule. */
export function families(inc: Incident): string[] {
  return [...new Set((inc.findings ?? []).map((f) => f.rule.split("/")[0] ?? f.rule))];
}

/** What still holds. */
export const standing = (inc: Incident): Receipt[] => (inc.actions ?? []).filter((r) => r.ok && !isSet(r.undone));

const shown = 3;

// What to do first: what keeps proof, then what stops harm and can be undone.
const order = ["collect", "freeze", "pause-container", "offline", "stop-job", "stop-container", "disable-unit", "disable-cron", "disable-hook", "block", "quarantine", "isolate"];

const place = (a: Action) => {
  const i = order.indexOf(a.op);
  return i < 0 ? order.length : i;
};

/** At most one action of a kind, those first that lose nothing; nothing that cannot be undone but for collecting proof. */
export function advised(plan: Action[]): Action[] {
  const able = plan.filter((a) => possible(a) && (a.reversible || harmless(a)));
  const kinds = new Map<string, Action>();
  for (const a of [...able].sort((x, y) => place(x) - place(y))) if (!kinds.has(a.op)) kinds.set(a.op, a);
  return [...kinds.values()].slice(0, shown);
}

export function Answers({ inc, path }: { inc: Incident; path: string }) {
  const t = useT();
  const said = useSaid();
  const tell = useTell();
  const { can } = useAuth();
  const [todo, setTodo] = useState<Action>();
  const [back, setBack] = useState<Receipt>();
  const plan = useData<Items<Action>>(inc.state === "open" && can("responder") ? `${path}/plan` : null);
  const runs = useData<Items<Run>>(`${path}/runs`);
  const waiting = (runs.data?.items ?? []).filter((r) => r.state === "proposed" || r.state === "waiting");
  const top = byWeight(inc.findings);
  const titles = [...new Map(top.map((f) => [f.title, f])).values()];
  const holds = standing(inc);
  const takeBack = holds.filter((r) => r.action.reversible);
  const alive = (inc.members ?? []).filter((m) => !isSet(m.exited)).length;
  const kinds = families(inc);
  const first = advised(plan.data?.items ?? []);
  const advice = [...new Set(top.map((f) => f.advice && said(f.rule, "advice", f.advice)).filter((a): a is string => !!a))].slice(0, 2);
  return (
    <section id="answers" className="answers" aria-label={t.incident.parts.answers}>
      <div className="answer wide">
        <h2>{t.answers.what}</h2>
        <ul className="plainlist">
          {titles.slice(0, shown).map((f) => (
            <li key={f.rule + f.subject.id}>
              <Said rule={f.rule} part="title" text={f.title} />
              {f.count > 1 && <span className="dim"> {t.answers.times(number(f.count))}</span>}
            </li>
          ))}
        </ul>
        {titles.length > shown && <p className="dim">{t.answers.more(number(titles.length - shown))}</p>}
        {top[0]?.lineage && (
          <p className="dim">
            {t.answers.lineage} <Raw text={top[0].lineage} />
          </p>
        )}
        {alive > 0 && <p className="dim">{t.answers.alive(number(alive), alive)}</p>}
      </div>
      <div className="answer">
        <h2>{t.answers.sure}</h2>
        <p>
          <Sure value={inc.score} />
        </p>
        <p className="dim">{t.answers.kinds(kinds.length, kinds.join(", "))}</p>
      </div>
      <div className="answer">
        <h2>{t.answers.done}</h2>
        {holds.length === 0 ? (
          <p>{(inc.actions ?? []).length > 0 ? t.answers.nothingHolds : t.answers.nothingDone}</p>
        ) : (
          <ul className="plainlist">
            {holds.slice(-shown).map((r) => (
              <li key={r.action.id}>
                <Tell text={r.result || r.action.summary} /> <span className="dim">{t.answers.by(tell(r.who))}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div className="answer">
        <h2>{t.answers.undo}</h2>
        {takeBack.length === 0 ? (
          <p>{holds.length > 0 ? t.answers.noUndo : t.answers.nothingToUndo}</p>
        ) : (
          <div className="stack">
            {takeBack.slice(-shown).map((r) => (
              <Act key={r.action.id} need="responder" icon="undo" onClick={() => setBack(r)}>
                {t.answers.undoOf(t.ops[r.action.op] ?? r.action.op)}
              </Act>
            ))}
          </div>
        )}
      </div>
      <div className="answer">
        <h2>{t.answers.next}</h2>
        {inc.state !== "open" && <p>{inc.state === "closed" ? t.answers.nextClosed : t.answers.nextContained}</p>}
        <div className="stack">
          {first.map((a) => (
            <div key={a.op}>
              <Act need="responder" kind="primary" icon="action" label={`${t.ops[a.op] ?? a.op}: ${tell(a.summary)}`} onClick={() => setTodo(a)}>
                {t.ops[a.op] ?? a.op}
              </Act>
              <p className="dim small">
                <Tell text={a.summary} />
              </p>
            </div>
          ))}
        </div>
        {waiting.map((r) => (
          <p key={r.id}>
            <a href="#runs">{t.answers.book(visible(tell(r.playbook.title)))}</a> <span className="tag">{t.answers.bookWaits}</span>
          </p>
        ))}
        {advice.map((a) => (
          <p key={a} className="advice">
            <Raw text={a} />
          </p>
        ))}
      </div>
      {todo && <DoAction path={path} action={todo} onClose={() => setTodo(undefined)} />}
      {back && <Undo receipt={back} onClose={() => setBack(undefined)} />}
    </section>
  );
}
