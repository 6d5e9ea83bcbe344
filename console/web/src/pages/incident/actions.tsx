import { useState } from "react";
import { invalidate, useData } from "../../api/cache";
import { post } from "../../api/client";
import type { Action, Incident, Items, Receipt } from "../../api/types";
import { useT } from "../../i18n";
import { Act, Ask } from "../../parts/act";
import { Diff } from "../../parts/diff";
import { isSet } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { Failed, Loading, NeedNote } from "../../parts/states";
import { Tell, useTell } from "../../parts/tell";
import { Ago, Code } from "../../parts/text";
import { useAuth } from "../../parts/session";

/** Reports whether a plan would do anything: a responder also lists what it refuses, and says why. */
export const possible = (a: Action): boolean => ((a.blast ?? []).length > 0 || (a.refused ?? []).length === 0) && !/: refused\b/.test(a.summary);

/** What takes nothing away though it cannot be undone. */
export const harmless = (a: Action): boolean => ["collect", "verify-package", "check-service", "rotate-credentials"].includes(a.op);

const first = 8; // actions of a plan shown before one asks for more

/** What was done, with its proof, and what could be done, with what it would touch. */
export function Actions({ inc, path }: { inc: Incident; path: string }) {
  const t = useT();
  const { can } = useAuth();
  const tell = useTell();
  const [todo, setTodo] = useState<Action>();
  const [back, setBack] = useState<Receipt>();
  const [all, setAll] = useState(false);
  const plan = useData<Items<Action>>(inc.state === "closed" || !can("responder") ? null : `${path}/plan`);
  const receipts = [...(inc.actions ?? [])].reverse();
  const items = (plan.data?.items ?? []).filter(possible);
  const refused = (plan.data?.items ?? []).filter((a) => !possible(a));
  return (
    <section id="actions" aria-labelledby="actions-h">
      <h2 id="actions-h">{t.incident.parts.actions}</h2>
      <NeedNote need="responder" />
      {receipts.length === 0 ? (
        <p className="dim">{t.actions.noneDone}</p>
      ) : (
        <ol className="plainlist receipts">
          {receipts.map((r) => (
            <Done key={r.action.id} receipt={r} undo={() => setBack(r)} />
          ))}
        </ol>
      )}
      {inc.state !== "closed" && can("responder") && (
        <>
          <h3>{t.actions.plan}</h3>
          {plan.error ? (
            <Failed error={plan.error} retry={plan.reload} />
          ) : plan.data === undefined ? (
            <Loading />
          ) : items.length === 0 ? (
            <p className="dim">{t.actions.noPlan}</p>
          ) : (
            <ul className="plainlist plans">
              {(all ? items : items.slice(0, first)).map((a) => (
                <li key={a.id}>
                  <div className="planhead">
                    <span>
                      <Tell text={a.summary} />
                    </span>
                    <Act need="responder" kind={a.reversible || harmless(a) ? "plain" : "danger"} label={`${t.ops[a.op] ?? a.op}: ${tell(a.summary)}`} onClick={() => setTodo(a)}>
                      {t.ops[a.op] ?? a.op}
                    </Act>
                  </div>
                  <details>
                    <summary>{t.actions.blast((a.blast ?? []).length)}</summary>
                    <Blast action={a} />
                  </details>
                </li>
              ))}
            </ul>
          )}
          {!all && items.length > first && (
            <button type="button" className="plain" onClick={() => setAll(true)}>
              {t.story.rest(items.length - first)}
            </button>
          )}
          {refused.length > 0 && (
            <details>
              <summary>{t.actions.impossible(refused.length)}</summary>
              {refused.map((a) => (
                <div key={a.id}>
                  <p>
                    <Tell text={a.summary} />
                  </p>
                  <Blast action={a} />
                </div>
              ))}
            </details>
          )}
        </>
      )}
      {todo && <DoAction path={path} action={todo} onClose={() => setTodo(undefined)} />}
      {back && <Undo receipt={back} onClose={() => setBack(undefined)} />}
    </section>
  );
}

function Done({ receipt: r, undo }: { receipt: Receipt; undo: () => void }) {
  const t = useT();
  const undone = isSet(r.undone);
  return (
    <li className={undone ? "receipt undone" : r.ok ? "receipt ok" : "receipt bad"}>
      <div className="planhead">
        <span>
          <Icon name={undone ? "undo" : r.ok ? "check" : "cross"} size={16} /> <strong>{t.ops[r.action.op] ?? r.action.op}</strong>{" "}
          <span className="dim">{undone ? t.actions.undone : r.ok ? t.actions.holds : t.actions.failed}</span>
        </span>
        {r.ok && !undone && r.action.reversible && (
          <Act need="responder" icon="undo" onClick={undo}>
            {t.actions.undo}
          </Act>
        )}
      </div>
      <p>
        <Tell text={r.action.summary} />
      </p>
      {r.result && (
        <p>
          {t.actions.result}: <Tell text={r.result} />
        </p>
      )}
      <p className="dim">
        <Tell text={r.who} /> · <Ago time={r.done} />
        {r.why && (
          <>
            {" "}
            · <Tell text={r.why} />
          </>
        )}
        {undone && (
          <>
            <br />
            {t.actions.undoneBy} <Tell text={r.undone_by} /> · <Ago time={r.undone} />
          </>
        )}
      </p>
    </li>
  );
}

/** Each thing that will be touched, and what will not be and why. */
export function Blast({ action: a }: { action: Action }) {
  const t = useT();
  return (
    <div className="blast">
      <p>
        {t.actions.target}: <Code text={a.target.name ? `${a.target.name} ${a.target.id}` : a.target.id} />
      </p>
      {(a.blast ?? []).length > 0 && (
        <>
          <p>{t.actions.touches}</p>
          <ul>
            {(a.blast ?? []).map((b) => (
              <li key={b}>
                <Tell text={b} />
              </li>
            ))}
          </ul>
        </>
      )}
      {(a.refused ?? []).length > 0 && (
        <>
          <p>{t.actions.leaves}</p>
          <ul>
            {(a.refused ?? []).map((b) => (
              <li key={b}>
                <Tell text={b} />
              </li>
            ))}
          </ul>
        </>
      )}
      {!harmless(a) && <p className={a.reversible ? "dim" : "warn"}>{a.reversible ? t.actions.reversible : t.actions.final}</p>}
      {a.params?.diff && <Diff text={a.params.diff} />}
    </div>
  );
}

export function DoAction({ path, action: a, onClose }: { path: string; action: Action; onClose: () => void }) {
  const t = useT();
  return (
    <Ask
      title={t.ops[a.op] ?? a.op}
      verb={t.actions.doIt(t.ops[a.op] ?? a.op)}
      kind={a.reversible || harmless(a) ? "primary" : "danger"}
      why
      done={t.actions.wasDone(t.ops[a.op] ?? a.op)}
      onClose={onClose}
      run={async (why) => {
        await post<Receipt>(`${path}/actions`, { responder: a.responder, op: a.op, target_id: a.target.id, why, blast: a.blast ?? [] });
        invalidate("/incidents", "/overview", "/actions");
      }}
    >
      <p className="lead">
        <Tell text={a.summary} />
      </p>
      <Blast action={a} />
    </Ask>
  );
}

export function Undo({ receipt: r, onClose }: { receipt: Receipt; onClose: () => void }) {
  const t = useT();
  return (
    <Ask
      title={t.answers.undoOf(t.ops[r.action.op] ?? r.action.op)}
      verb={t.actions.undo}
      why
      done={t.actions.wasUndone(t.ops[r.action.op] ?? r.action.op)}
      onClose={onClose}
      run={async (why) => {
        await post<Receipt>(`/actions/${encodeURIComponent(r.action.id)}/undo`, { why });
        invalidate("/incidents", "/overview", "/actions", "/posture");
      }}
    >
      <p className="lead">
        <Tell text={r.result || r.action.summary} />
      </p>
      <p>{t.actions.undoHint}</p>
    </Ask>
  );
}
