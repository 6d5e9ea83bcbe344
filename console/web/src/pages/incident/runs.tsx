import { useState } from "react";
import { invalidate, useData } from "../../api/cache";
import { post } from "../../api/client";
import type { Items, Playbook, PlaybookStep, Preview, Run, Started, StepRun } from "../../api/types";
import { useT } from "../../i18n";
import { Act, Ask } from "../../parts/act";
import { Due } from "../../parts/due";
import { isSet } from "../../parts/format";
import { Failed, Loading, NeedNote } from "../../parts/states";
import { Tell, useTell } from "../../parts/tell";
import { Ago, Raw } from "../../parts/text";
import { Blast } from "./actions";

type Decision = "approve" | "refuse" | "done";

/** Playbooks at work on this incident: what they wait for comes first. */
export function Runs({ path }: { path: string }) {
  const t = useT();
  const tell = useTell();
  const runs = useData<Items<Run>>(`${path}/runs`);
  const books = useData<Items<Playbook>>("/playbooks");
  const [start, setStart] = useState<{ name: string; dry: boolean }>();
  const all = runs.data?.items ?? [];
  const offered = books.data?.items ?? [];
  const [chosen, setChosen] = useState("");
  const [preview, setPreview] = useState<Preview[]>();
  if (runs.error?.status === 404) return null; // an agent without playbooks
  return (
    <section id="runs" aria-labelledby="runs-h">
      <h2 id="runs-h">{t.incident.parts.runs}</h2>
      <NeedNote need="responder" />
      {runs.error && <Failed error={runs.error} retry={runs.reload} />}
      {runs.data === undefined && !runs.error && <Loading />}
      {runs.data && all.length === 0 && <p className="dim">{t.runs.none}</p>}
      {all.map((r) => (
        <RunView key={r.id} run={r} />
      ))}
      {offered.length > 0 && (
        <div className="startrun noprint">
          <label htmlFor="playbook">{t.runs.choose}</label>
          <select id="playbook" value={chosen} onChange={(e) => setChosen(e.target.value)}>
            <option value="">{t.words.none}</option>
            {offered.map((p) => (
              <option key={p.name} value={p.name}>
                {tell(p.title || p.name)}
              </option>
            ))}
          </select>
          <Act need="responder" blocked={chosen ? undefined : t.runs.chooseFirst} onClick={() => setStart({ name: chosen, dry: true })}>
            {t.runs.dry}
          </Act>
          <Act need="responder" kind="primary" blocked={chosen ? undefined : t.runs.chooseFirst} onClick={() => setStart({ name: chosen, dry: false })}>
            {t.runs.start}
          </Act>
        </div>
      )}
      <div role="status">{preview && <Previewed steps={preview} />}</div>
      {start && (
        <Ask
          title={start.dry ? t.runs.dry : t.runs.start}
          verb={start.dry ? t.runs.dry : t.runs.start}
          why="optional"
          onClose={() => setStart(undefined)}
          run={async (why) => {
            const out = await post<Started>(`${path}/runs`, { playbook: start.name, dry_run: start.dry, why });
            setPreview(start.dry ? (out.preview ?? []) : undefined);
            invalidate(path);
          }}
        >
          <p>{start.dry ? t.runs.dryHint : t.runs.startHint}</p>
        </Ask>
      )}
    </section>
  );
}

/** What a dry run says would become of each step. */
function Previewed({ steps }: { steps: Preview[] }) {
  const t = useT();
  return (
    <div className="run">
      <h3>{t.runs.preview}</h3>
      <ol className="steps">
        {steps.map((p) => (
          <li key={p.step.id} className="step">
            <Tell text={p.step.title} /> <span className="tag">{t.runs.would[p.would] ?? p.would}</span>
            {p.why && (
              <p className="dim">
                <Tell text={p.why} />
              </p>
            )}
            {(p.actions ?? []).map((a) => (
              <p key={a.id} className="dim">
                <Tell text={a.summary} />
              </p>
            ))}
          </li>
        ))}
      </ol>
    </div>
  );
}

function RunView({ run: r }: { run: Run }) {
  const t = useT();
  const tell = useTell();
  const about = new Map((r.playbook.steps ?? []).map((s) => [s.id, s]));
  const [ask, setAsk] = useState<"approve" | "refuse">();
  return (
    <div className={`run run-${r.state}`}>
      <h3>
        <Tell text={r.playbook.title || r.playbook.name} /> <span className="tag">{t.runs.states[r.state] ?? r.state}</span>
      </h3>
      <p className="dim">
        <Tell text={r.who} /> · <Ago time={r.started} />
        {r.why && (
          <>
            {" "}
            · <Tell text={r.why} />
          </>
        )}
      </p>
      {r.state === "proposed" && (
        <div className="buttons start noprint">
          <Act need="responder" kind="primary" label={`${t.runs.start}: ${tell(r.playbook.title)}`} onClick={() => setAsk("approve")}>
            {t.runs.start}
          </Act>
          <Act need="responder" label={`${t.runs.verbs.refuse}: ${tell(r.playbook.title)}`} onClick={() => setAsk("refuse")}>
            {t.runs.verbs.refuse}
          </Act>
        </div>
      )}
      {ask && (
        <Ask
          title={ask === "approve" ? t.runs.start : t.runs.verbs.refuse}
          verb={ask === "approve" ? t.runs.start : t.runs.verbs.refuse}
          why="optional"
          onClose={() => setAsk(undefined)}
          run={async (note) => {
            await post(`/runs/${encodeURIComponent(r.id)}/decision`, { decision: ask, note });
            invalidate("/incidents", "/overview");
          }}
        >
          {ask === "approve" && <p>{t.runs.startHint}</p>}
        </Ask>
      )}
      <details open={r.state !== "proposed"}>
        <summary>{t.playbooks.steps((r.steps ?? []).length)}</summary>
        <ol className="steps">
          {(r.steps ?? []).map((s) => (
            <StepView key={s.id} step={s} run={r} about={about.get(s.id)} />
          ))}
        </ol>
      </details>
    </div>
  );
}

function StepView({ run, step: s, about }: { run: Run; step: StepRun; about: PlaybookStep | undefined }) {
  const t = useT();
  const tell = useTell();
  const [ask, setAsk] = useState<Decision>();
  const waits = s.state === "waiting";
  const byHand = about?.kind === "manual";
  const verbs: Decision[] = byHand ? ["done", "refuse"] : ["approve", "refuse"];
  return (
    <li className={`step step-${s.state}`} aria-current={waits ? "step" : undefined}>
      <div className="planhead">
        <span>
          <Tell text={about?.title ?? s.id} /> <span className="dim">{t.runs.stepStates[s.state] ?? s.state}</span>
        </span>
        {isSet(s.due) && <Due value={{ due: s.due, state: isSet(s.ended) ? "met" : "running" }} />}
      </div>
      {s.note && (
        <p className="dim">
          <Tell text={s.note} lines />
        </p>
      )}
      {(s.actions ?? []).map((a) => (
        <p key={`${a.action.id} ${a.attempt}`} className={a.error || a.receipt?.ok === false ? "warn" : "dim"}>
          <Tell text={a.error || a.receipt?.result || a.action.summary} />
        </p>
      ))}
      {(s.decisions ?? []).map((d) => (
        <p key={d.time} className="dim">
          <Raw text={d.who} />: {t.runs.decided[d.decision] ?? d.decision} · <Ago time={d.time} /> <Raw text={d.note} />
        </p>
      ))}
      {waits && (
        <>
          {about?.description && (
            <p>
              <Tell text={about.description} lines />
            </p>
          )}
          {(s.shown ?? []).map((a) => (
            <div key={a.id}>
              <p>
                <Tell text={a.summary} />
              </p>
              <Blast action={a} />
            </div>
          ))}
          <div className="buttons start noprint">
            {verbs.map((v) => (
              <Act key={v} need="responder" kind={v === "refuse" ? "plain" : "primary"} onClick={() => setAsk(v)}>
                {t.runs.verbs[v]}
              </Act>
            ))}
          </div>
        </>
      )}
      {ask && (
        <Ask
          title={`${t.runs.verbs[ask]}: ${tell(about?.title ?? s.id)}`}
          verb={t.runs.verbs[ask]}
          why="optional"
          onClose={() => setAsk(undefined)}
          run={async (note) => {
            await post(`/runs/${encodeURIComponent(run.id)}/steps/${encodeURIComponent(s.id)}`, { decision: ask, note });
            invalidate("/incidents", "/overview");
          }}
        />
      )}
    </li>
  );
}
