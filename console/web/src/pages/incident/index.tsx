import "../../styles/incident.css";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { invalidate, useData } from "../../api/cache";
import { post, put } from "../../api/client";
import type { Deadline, Incident as Inc, Items } from "../../api/types";
import { useT } from "../../i18n";
import { Act, Ask } from "../../parts/act";
import { Due } from "../../parts/due";
import { isSet } from "../../parts/format";
import { SeverityMark, StateMark } from "../../parts/marks";
import { useSaid } from "../../parts/rules";
import { useAuth } from "../../parts/session";
import { Page, Show } from "../../parts/states";
import { Tell } from "../../parts/tell";
import { Ago, Code, Copy, Raw } from "../../parts/text";
import { say } from "../../parts/toast";
import { visible } from "../../parts/visible";
import { Actions } from "./actions";
import { Answers, worst } from "./answers";
import { EvidenceList } from "./evidence";
import { Impact } from "./impact";
import { Lineage } from "./lineage";
import { Notes } from "./notes";
import { Kept, Reports } from "./reports";
import { Runs } from "./runs";
import { Story } from "./story";

const parts = ["answers", "story", "evidence", "lineage", "actions", "runs", "notes", "impact", "reports"] as const;

const verdicts = ["true_positive", "false_positive", "authorised"] as const;

export default function Incident() {
  const { id = "" } = useParams();
  const t = useT();
  const answer = useData<Inc>(`/incidents/${encodeURIComponent(id)}`);
  const said = useSaid();
  const top = answer.data && worst(answer.data);
  const title = top ? said(top.rule, "title", top.title) : (answer.data?.id ?? id);
  return (
    <Page
      title={visible(title)}
      heading={
        <>
          <span className="crumb">
            <Link to="/incidents">{t.nav.incidents}</Link> <span aria-hidden="true">{"/"}</span>
          </span>
          <Raw text={title} />
        </>
      }
    >
      <Show answer={answer}>{(inc) => <Body inc={inc} reload={answer.reload} />}</Show>
    </Page>
  );
}

function Body({ inc, reload }: { inc: Inc; reload: () => void }) {
  const t = useT();
  const path = `/incidents/${encodeURIComponent(inc.id)}`;
  return (
    <div className="incident">
      <div className="meta">
        <SeverityMark value={inc.severity} /> <StateMark value={inc.state} />
        <span>
          {t.incident.subject(t.subjects[inc.subject.type] ?? inc.subject.type)} <Code text={inc.subject.name || inc.subject.id} />
        </span>
        {inc.host && (
          <span>
            {t.words.host} <Raw text={inc.host} />
          </span>
        )}
        <span>
          {t.incident.opened} <Ago time={inc.opened} />
        </span>
        <span>
          {t.words.updated} <Ago time={inc.updated} />
        </span>
        <span>
          <Code text={inc.id} /> <Copy text={inc.id} label={t.incident.id} />
        </span>
      </div>
      <Deadlines path={path} />
      {(inc.related ?? []).length > 0 && (
        <div className={inc.related?.some((r) => r.back) ? "verdict warnbox" : "verdict"}>
          {inc.related?.some((r) => r.back) && <strong>{t.incident.back}</strong>} {t.incident.related}
          <ul>
            {(inc.related ?? []).map((r) => (
              <li key={r.incident + r.why}>
                <Link to={`/incidents/${encodeURIComponent(r.incident)}`}>
                  <Code text={r.incident} />
                </Link>{" "}
                <Tell text={r.why} /> · <Ago time={r.time} />
              </li>
            ))}
          </ul>
        </div>
      )}
      <Tools inc={inc} path={path} reload={reload} />
      <nav className="onpage" aria-label={t.incident.onPage}>
        {parts.map((p) => (
          <a key={p} href={`#${p}`}>
            {t.incident.parts[p]}
          </a>
        ))}
      </nav>
      <Answers inc={inc} path={path} />
      <div className="columns">
        <div>
          <Story path={path} />
          <EvidenceList inc={inc} />
          <Lineage path={path} inc={inc} />
        </div>
        <div>
          <Actions inc={inc} path={path} />
          <Runs path={path} />
          <Notes inc={inc} path={path} />
          <Impact path={path} />
          <Kept inc={inc} path={path} />
          <Reports path={path} />
        </div>
      </div>
    </div>
  );
}

/** What must be done by when, and who has done it: steps of playbooks are with their runs. */
function Deadlines({ path }: { path: string }) {
  const t = useT();
  const answer = useData<Items<Deadline>>(`${path}/deadlines`);
  const all = (answer.data?.items ?? []).filter((d) => !d.what.startsWith("step ") && d.state !== "dropped");
  const made = async (what: string) => {
    try {
      await post(`${path}/report`, { kind: what === "review" ? "review" : "incident" });
      invalidate(path);
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  };
  if (all.length === 0) return null;
  return (
    <ul className="duelist" aria-label={t.overview.deadlines}>
      {all.map((d) => (
        <li key={d.what}>
          {t.deadlines.what[d.what] ?? d.what} <Due value={d} />
          {!isSet(d.met) && (d.what === "report" || d.what === "review") && (
            <Act need="analyst" label={`${t.deadlines.what[d.what]}: ${t.deadlines.made}`} onClick={() => void made(d.what)}>
              {t.deadlines.made}
            </Act>
          )}
          {isSet(d.met) && (
            <span className="dim">
              {" "}
              <Ago time={d.met} /> {d.by && <Raw text={d.by} />}
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function Tools({ inc, path, reload }: { inc: Inc; path: string; reload: () => void }) {
  const t = useT();
  const { session } = useAuth();
  const [ask, setAsk] = useState<"close" | "reopen">();
  const [was, setWas] = useState("");
  const mine = session?.user === inc.assignee && !!inc.assignee;
  const assign = async (name: string) => {
    try {
      await put(`${path}/assignee`, { name });
      reload();
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <div className="buttons start noprint">
      <span className="assignee">
        {t.incidents.assignee}: {inc.assignee ? <Raw text={inc.assignee} /> : t.words.nobody}
      </span>
      <Act need="analyst" onClick={() => void assign(mine ? "" : (session?.user ?? ""))}>
        {mine ? t.incident.unassign : t.incident.take}
      </Act>
      {inc.state === "closed" ? (
        <Act need="analyst" onClick={() => setAsk("reopen")}>
          {t.incident.reopen}
        </Act>
      ) : (
        <Act need="analyst" onClick={() => setAsk("close")}>
          {t.incident.close}
        </Act>
      )}
      <button type="button" className="plain" onClick={() => window.print()}>
        {t.incident.print}
      </button>
      {ask && (
        <Ask
          title={ask === "close" ? t.incident.close : t.incident.reopen}
          verb={ask === "close" ? t.incident.close : t.incident.reopen}
          why
          done={ask === "close" ? t.incident.closed : t.incident.reopened}
          onClose={() => setAsk(undefined)}
          run={async (why) => {
            if (ask === "close" && was) await put(`${path}/verdict`, { verdict: was, why });
            await post(`${path}/${ask}`, { why });
            invalidate("/incidents", "/overview");
          }}
        >
          {ask === "close" && (
            <>
              <p>{t.incident.closeHint}</p>
              <div className="field">
                <label htmlFor="was">{t.incident.was}</label>
                <select id="was" value={was} onChange={(e) => setWas(e.target.value)}>
                  <option value="">{t.words.unknown}</option>
                  {verdicts.map((v) => (
                    <option key={v} value={v}>
                      {t.incident.verdicts[v]}
                    </option>
                  ))}
                </select>
              </div>
            </>
          )}
        </Ask>
      )}
    </div>
  );
}
