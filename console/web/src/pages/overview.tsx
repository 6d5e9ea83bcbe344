import "../styles/overview.css";
import { Link } from "react-router";
import { useData, usePolling } from "../api/cache";
import type { IncidentRow, Overview as Data, Severity } from "../api/types";
import { useLanguage, useT } from "../i18n";
import { base, query } from "../api/client";
import { Due } from "../parts/due";
import { atLeast, duration, money, number, percent } from "../parts/format";
import { SeverityMark, StateMark, Sure } from "../parts/marks";
import { Said } from "../parts/rules";
import { useAuth } from "../parts/session";
import { Empty, Page, Show } from "../parts/states";
import { Tell } from "../parts/tell";
import { Ago, Raw } from "../parts/text";
import { severities } from "./incidents";

const every = 15_000; // ms: sensors and costs change without an event

export default function Overview() {
  const t = useT();
  const answer = useData<Data>("/overview");
  usePolling(answer.reload, every);
  return (
    <Page title={t.nav.overview}>
      <Show answer={answer}>
        {(o) => (
          <div className="overview">
            <Verdict o={o} />
            <Tiles o={o} />
            <div className="columns">
              <Worst o={o} />
              <div>
                <Deadlines o={o} />
                <Health o={o} />
                <Monthly />
              </div>
            </div>
          </div>
        )}
      </Show>
    </Page>
  );
}

/** One sentence for the state of the machine. */
function Verdict({ o }: { o: Data }) {
  const t = useT();
  const open = o.counts.open ?? {};
  const worst = severities.find((s) => (open[s] ?? 0) > 0);
  const bad = worst === "critical" || worst === "high";
  const blind = o.sensors.filter((s) => s.state === "waiting").length;
  const total = Object.values(open).reduce((a, b) => a + b, 0);
  const grave = (open.critical ?? 0) + (open.high ?? 0);
  return (
    <p className={`verdict ${bad ? "bad" : total > 0 || blind > 0 ? "warnbox" : "good"}`} role="status">
      <strong>{bad ? t.overview.bad(number(grave), grave, number(total - grave)) : total > 0 ? t.overview.some(number(total), total) : t.overview.good}</strong>{" "}
      {blind > 0 ? t.overview.blind(blind) : total === 0 ? t.overview.watching(o.sensors.filter((s) => s.state === "running").length) : (t.policy.why[o.respond] ?? "")}
    </p>
  );
}

function Tiles({ o }: { o: Data }) {
  const t = useT();
  const count = (state: string, s: Severity) => o.counts[state]?.[s] ?? 0;
  const sum = (state: string) => Object.values(o.counts[state] ?? {}).reduce((a, b) => a + b, 0);
  return (
    <div className="tiles">
      <Link className="tile" to="/incidents?state=open">
        <span className="label">{t.overview.open}</span>
        <span className="big">{number(sum("open"))}</span>
        <span className="bysev">
          {severities
            .filter((s) => count("open", s) > 0)
            .map((s) => (
              <span key={s} className={`sev sev-${s}`}>
                {number(count("open", s))} {t.severity[s]}
              </span>
            ))}
          <span className="dim">{t.overview.others(number(sum("contained")), number(sum("closed")))}</span>
        </span>
      </Link>
      <div className="tile">
        <span className="label">{t.overview.stolen}</span>
        <span className="big">{duration(o.stolen.cpu_seconds)}</span>
        <span className="dim" title={o.stolen.model}>
          {t.units.kwh(atLeast(o.stolen.kwh, 2))} · {money(o.stolen.cost, o.stolen.currency)}
        </span>
      </div>
      <Link className="tile" to="/posture">
        <span className="label">{t.nav.posture}</span>
        <span className="big">{o.posture?.scored ? t.overview.score(number(o.posture.score)) : t.words.unknown}</span>
        <span className="dim">{o.posture ? t.overview.failed(number(o.posture.failed), o.posture.failed) : t.overview.noAudit}</span>
      </Link>
      <Link className="tile" to="/host">
        <span className="label">{t.overview.events}</span>
        <span className="big">{number(o.lost.total)}</span>
        <span className={o.lost.events > 0 ? "warn" : "dim"}>
          {o.lost.events > 0 ? t.overview.lost(number(o.lost.events), percent(o.lost.events / Math.max(1, o.lost.total + o.lost.events), 2)) : t.overview.noneLost}
        </span>
      </Link>
    </div>
  );
}

/** Incidents, with how many more there are like it: what is low and the same stands there once. */
export function alike(rows: IncidentRow[]): [IncidentRow, number][] {
  const out: [IncidentRow, number][] = [];
  for (const r of rows) {
    const same = r.severity === "low" || r.severity === "info" ? out.find(([o]) => o.title === r.title && o.severity === r.severity && o.rules[0] === r.rules[0]) : undefined;
    if (same) same[1]++;
    else out.push([r, 0]);
  }
  return out;
}

function Worst({ o }: { o: Data }) {
  const t = useT();
  return (
    <section aria-labelledby="worst-h">
      <h2 id="worst-h">{t.overview.worst}</h2>
      {o.worst.length === 0 ? (
        <Empty title={t.incidents.none}>{t.overview.tryDrill}</Empty>
      ) : (
        <ul className="cards">
          {alike(o.worst).map(([r, more]) => (
            <li key={r.id}>
              <Link to={`/incidents/${encodeURIComponent(r.id)}`} className="card">
                <span className="cardtop">
                  <SeverityMark value={r.severity} /> <StateMark value={r.state} /> <Sure value={r.score} />
                </span>
                <span className="cardtitle">
                  <Said rule={r.rules[0]} part="title" text={r.title} />
                </span>
                <span className="dim">
                  <Raw text={r.subject.name || r.subject.id} /> · {t.overview.findings(number(r.findings), r.findings)} · <Ago time={r.updated} />
                </span>
              </Link>
              {more > 0 && (
                <p className="alike">
                  <Link to={`/incidents${query({ state: "open", rule: r.rules[0] })}`}>{t.overview.alike}</Link>
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
      {o.worst.length > 0 && (
        <p>
          <Link to="/incidents?state=open">{t.overview.all}</Link>
        </p>
      )}
    </section>
  );
}

function Deadlines({ o }: { o: Data }) {
  const t = useT();
  const running = o.deadlines.filter((d) => d.state !== "met");
  const names = new Map(o.worst.map((r) => [r.id, r.subject.name || r.subject.id]));
  return (
    <section aria-labelledby="due-h">
      <h2 id="due-h">{t.overview.deadlines}</h2>
      {running.length === 0 ? (
        <p className="dim">{t.overview.noDeadlines}</p>
      ) : (
        <ul className="plainlist rows">
          {running.slice(0, 8).map((d) => (
            <li key={`${d.incident} ${d.what}`}>
              <Link to={`/incidents/${encodeURIComponent(d.incident ?? "")}`}>
                {t.deadlines.what[d.what] ?? d.what} · <Raw text={names.get(d.incident) ?? d.incident} />
              </Link>{" "}
              <Due value={d} />
            </li>
          ))}
        </ul>
      )}
      {!!o.more_deadlines && <p className="dim">{t.overview.moreDeadlines(number(o.more_deadlines))}</p>}
    </section>
  );
}

function Health({ o }: { o: Data }) {
  const t = useT();
  return (
    <section aria-labelledby="sensors-h">
      <h2 id="sensors-h">{t.overview.sensors}</h2>
      <ul className="plainlist rows">
        {o.sensors.map((s) => (
          <li key={s.name}>
            <span>
              <span className={`sensor sensor-${s.state}`}>{t.sensors.states[s.state] ?? s.state}</span> <Raw text={s.name} />
              {s.reason && (
                <span className="dim">
                  {" "}
                  <Tell text={s.reason} />
                </span>
              )}
            </span>
            <span className={s.dropped > 0 ? "warn num" : "dim num"}>{s.dropped > 0 ? t.sensors.dropped(number(s.dropped)) : number(s.events)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Monthly() {
  const t = useT();
  const lang = useLanguage();
  const { can } = useAuth();
  const month = new Date().toISOString().slice(0, 7);
  if (!can("analyst")) return null;
  return (
    <section aria-labelledby="kpi-h">
      <h2 id="kpi-h">{t.reports.monthly}</h2>
      <p>
        {(["html", "pdf", "json"] as const).map((format) => (
          <a key={format} className="tag" href={`${base}/reports/kpi${query({ month, format, lang })}`} aria-label={`${t.reports.monthly}: ${format}`} target="_blank" rel="noreferrer">
            {format}
          </a>
        ))}
      </p>
    </section>
  );
}
