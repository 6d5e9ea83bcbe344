import "../styles/posture.css";
import { useState } from "react";
import { invalidate, useData } from "../api/cache";
import { post } from "../api/client";
import type { Items, PostureCheck, PostureRepair, PostureResult, Receipt } from "../api/types";
import { useT } from "../i18n";
import { Act, Ask } from "../parts/act";
import { Chart } from "../parts/chart";
import { Diff } from "../parts/diff";
import { Select, useFilters } from "../parts/filters";
import { isSet, number } from "../parts/format";
import { SeverityMark } from "../parts/marks";
import { Said } from "../parts/rules";
import { Empty, NeedNote, Page, Show } from "../parts/states";
import { useAuth } from "../parts/session";
import { Tell } from "../parts/tell";
import { Ago, Code, Raw } from "../parts/text";
import { say } from "../parts/toast";
import { severities } from "./incidents";
import { Undo } from "./incident/actions";

const names = ["status", "severity", "product"] as const;
const preset = { status: "fail" };
const statuses = ["fail", "possible", "unknown", "pass", "not_applicable"] as const;

export default function Posture() {
  const t = useT();
  const { can } = useAuth();
  const filters = useFilters(names, preset);
  const status = filters.get("status");
  const all = status !== "fail" && status !== "possible" && status !== "unknown";
  const answer = useData<PostureResult>(`/posture${all ? "?all=true" : ""}`);
  const repairs = useData<Items<PostureRepair>>(can("responder") ? "/posture/repairs" : null);
  const run = async () => {
    try {
      await post("/posture/runs");
      say(t.posture.begun);
      answer.reload();
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <Page
      title={t.nav.posture}
      tools={
        <Act need="responder" kind="primary" busy={answer.data?.running ?? false} onClick={() => void run()}>
          {answer.data?.running ? t.posture.running : t.posture.run}
        </Act>
      }
    >
      <Show answer={answer}>
        {(r) =>
          !isSet(r.at) ? (
            <Empty icon="posture" title={r.running ? t.posture.running : t.overview.noAudit}>
              {t.posture.firstHint}
            </Empty>
          ) : (
            <Result r={r} filters={filters} repairs={repairs.data?.items ?? []} />
          )
        }
      </Show>
    </Page>
  );
}

function Result({ r, filters, repairs }: { r: PostureResult; filters: ReturnType<typeof useFilters>; repairs: PostureRepair[] }) {
  const t = useT();
  const want = filters.get("status");
  const least = filters.get("severity");
  const product = filters.get("product");
  const checks = r.checks.filter(
    (c) => (want === "any" || want === "" || c.status === want) && (!least || least === "any" || severities.indexOf(c.severity) <= severities.indexOf(least as PostureCheck["severity"])) && (!product || product === "any" || c.product === product),
  );
  const products = [...new Set(r.checks.map((c) => c.product))].sort();
  const history = r.history ?? [];
  return (
    <>
      <div className="score">
        <div className="gauge">
          <span className="big">{r.scored ? number(r.score) : t.words.unknown}</span>
          {r.scored && <span className="dim">{t.posture.of}</span>}
          <p>{t.overview.failed(number(r.failed), r.failed)}</p>
          <p className="dim">
            {t.posture.at} <Ago time={r.at} />
          </p>
        </div>
        {history.length > 1 && (
          <figure>
            <figcaption>{t.posture.trend}</figcaption>
            <Chart
              label={t.posture.trendLabel(number(history[0]?.score ?? 0), number(history[history.length - 1]?.score ?? 0))}
              x={history.map((p) => new Date(p.at).getTime() / 1000)}
              y={history.map((p) => p.score)}
              max={100}
              unit={(v) => number(v)}
            />
          </figure>
        )}
      </div>
      {r.errors.length > 0 && (
        <div className="failed">
          <p>{t.posture.notLooked}</p>
          <ul>
            {r.errors.map((e) => (
              <li key={e}>
                <Raw text={e} />
              </li>
            ))}
          </ul>
        </div>
      )}
      <form className="filters" onSubmit={(e) => e.preventDefault()}>
        <Select filters={filters} name="status" label={t.posture.status} options={statuses.map((s) => [s, t.posture.statuses[s]])} />
        <Select filters={filters} name="severity" label={t.filters.atLeast} options={severities.map((s) => [s, t.severity[s]])} />
        <Select filters={filters} name="product" label={t.posture.product} options={products.map((p) => [p, p])} />
      </form>
      <NeedNote need="responder" />
      <Repaired />
      <p className="dim" role="status">
        {t.posture.shown(number(checks.length), checks.length)}
      </p>
      {checks.length === 0 && <Empty title={t.posture.none} />}
      {checks.map((c) => (
        <Check key={`${c.id} ${c.target} ${c.subject ?? ""}`} c={c} repair={repairs.find((x) => x.rules.includes(c.id))} />
      ))}
    </>
  );
}

function Check({ c, repair }: { c: PostureCheck; repair: PostureRepair | undefined }) {
  const t = useT();
  const [fix, setFix] = useState(false);
  const { can } = useAuth();
  const status = statuses.find((s) => s === c.status);
  return (
    <details className={`check check-${c.status}`}>
      <summary>
        <span className="claimhead">
          {c.passed ? <span className="tag">{t.posture.statuses.pass}</span> : <SeverityMark value={c.severity} />}
          <span className="claimtitle">
            <Said rule={c.id} part="title" text={c.title} />
            {c.subject && (
              <span className="dim claimsubject">
                <Raw text={c.subject} />
              </span>
            )}
          </span>
          {c.status !== "fail" && !c.passed && status && <span className="tag">{t.posture.statuses[status]}</span>}
          {(can("responder") ? repair && !repair.error : c.fixable) && <span className="tag fixable">{t.posture.fixable}</span>}
        </span>
      </summary>
      <dl className="facts">
        <dt>{t.posture.proof}</dt>
        <dd>
          <Raw text={c.evidence} lines />
        </dd>
        <dt>{t.posture.target}</dt>
        <dd>
          <Code text={[c.target, c.subject].filter(Boolean).join(" · ")} />
        </dd>
        {c.why && (
          <>
            <dt>{t.words.why}</dt>
            <dd>
              <Tell text={c.why} />
            </dd>
          </>
        )}
        {c.advice && (
          <>
            <dt>{t.evidence.advice}</dt>
            <dd>
              <Said rule={c.id} part="advice" text={c.advice} />
            </dd>
          </>
        )}
        <dt>{t.words.rule}</dt>
        <dd>
          <Code text={c.id} />
        </dd>
      </dl>
      {c.repair && !repair && (
        <pre tabIndex={0}>
          <Raw text={c.repair} lines />
        </pre>
      )}
      {repair && (
        <>
          <p>
            <Tell text={repair.summary} />{repair.error && <> <Tell text={repair.error} /></>}
          </p>
          <Diff text={repair.diff} />
          <Act need="responder" kind="primary" blocked={repair.error ? `${t.posture.cannot}: ${repair.error}` : undefined} onClick={() => setFix(true)}>
            {t.posture.fix}
          </Act>
        </>
      )}
      {c.fixable && !repair && !can("responder") && <NeedNote need="responder" />}
      {fix && repair && (
        <Ask
          title={t.posture.fix}
          verb={t.posture.fix}
          why="optional"
          done={t.posture.fixed}
          onClose={() => setFix(false)}
          run={async (why) => {
            await post<Receipt>("/posture/repairs", { id: repair.id, why });
            invalidate("/posture", "/records", "/overview");
          }}
        >
          <p>{t.posture.fixHint}</p>
          <p>
            <Code text={repair.path} />
          </p>
          <Diff text={repair.diff} />
        </Ask>
      )}
    </details>
  );
}

/** What was repaired and still stands, with its way back. */
function Repaired() {
  const t = useT();
  const answer = useData<Items<Receipt>>("/records");
  const [back, setBack] = useState<Receipt>();
  const stands = (answer.data?.items ?? []).filter((r) => r.ok && !isSet(r.undone) && r.action.op === "repair");
  if (stands.length === 0) return null;
  return (
    <section aria-labelledby="repaired-h">
      <h2 id="repaired-h">{t.posture.repaired}</h2>
      <ul className="plainlist rows">
        {stands.map((r) => (
          <li key={r.action.id}>
            <span>
              <Tell text={r.action.summary} /> <span className="dim"><Raw text={r.who} /> · <Ago time={r.done} /></span>
            </span>
            <Act need="responder" icon="undo" label={`${t.actions.undo}: ${r.action.summary}`} onClick={() => setBack(r)}>
              {t.actions.undo}
            </Act>
          </li>
        ))}
      </ul>
      {back && <Undo receipt={back} onClose={() => { setBack(undefined); invalidate("/records"); }} />}
    </section>
  );
}
