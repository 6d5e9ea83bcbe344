import { useState } from "react";
import { Link } from "react-router";
import type { Incident, IncidentFinding, RuleDoc } from "../../api/types";
import { useT } from "../../i18n";
import { number } from "../../parts/format";
import { SeverityMark, Sure } from "../../parts/marks";
import { Said, useRules } from "../../parts/rules";
import { Tell, useLabel } from "../../parts/tell";
import { Ago, Code, Copy, Raw } from "../../parts/text";
import { byWeight } from "./answers";

const first = 12; // claims shown before one asks for more

/** Every claim, with the values it rests on, how sure it is, and why. */
export function EvidenceList({ inc }: { inc: Incident }) {
  const t = useT();
  const rules = useRules();
  const about = new Map((rules.data?.items ?? []).map((r) => [r.id, r]));
  const [more, setMore] = useState(false);
  const all = byWeight(inc.findings);
  return (
    <section id="evidence" aria-labelledby="evidence-h">
      <h2 id="evidence-h">
        {t.incident.parts.evidence} <span className="dim">{number(all.length)}</span>
      </h2>
      {(more ? all : all.slice(0, first)).map((f, i) => (
        <Claim key={`${f.rule} ${f.subject.id}`} finding={f} rule={about.get(f.rule)} open={i === 0} />
      ))}
      {!more && all.length > first && (
        <button type="button" className="plain" onClick={() => setMore(true)}>
          {t.story.rest(all.length - first)}
        </button>
      )}
      {!!inc.more && <p className="dim">{t.evidence.more(number(inc.more))}</p>}
    </section>
  );
}

function Claim({ finding: f, rule, open }: { finding: IncidentFinding; rule: RuleDoc | undefined; open: boolean }) {
  const t = useT();
  const label = useLabel();
  return (
    <details className="claim" open={open}>
      <summary>
        <span className="claimhead">
          <SeverityMark value={f.severity} />
          <span className="claimtitle">
            <Said rule={f.rule} part="title" text={f.title} />
            <span className="dim small claimsubject">
              {t.subjects[f.subject.type] ?? f.subject.type} <Raw text={f.subject.name || f.subject.id} />
            </span>
          </span>
          <Sure value={f.confidence} />
        </span>
      </summary>
      <table className="values">
        <caption className="sr">{t.evidence.values}</caption>
        <thead className="sr">
          <tr>
            <th scope="col">{t.evidence.key}</th>
            <th scope="col">{t.evidence.value}</th>
          </tr>
        </thead>
        <tbody>
          {(f.evidence ?? []).map((e, i) => (
            <tr key={`${e.key} ${i}`}>
              <th scope="row">
                <Raw text={label(e.key)} />
              </th>
              <td>
                <Code text={e.value} lines />
                {e.value.length > 24 && <Copy text={e.value} label={e.key} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {(rule?.why || f.advice) && (
        <dl className="facts">
          {rule?.why && (
            <>
              <dt>{t.evidence.why}</dt>
              <dd>
                <Tell text={rule.why} />
              </dd>
            </>
          )}
          {f.advice && (
            <>
              <dt>{t.evidence.advice}</dt>
              <dd>
                <Said rule={f.rule} part="advice" text={f.advice} />
              </dd>
            </>
          )}
        </dl>
      )}
      <dl className="facts">
        <dt>{t.words.about}</dt>
        <dd>
          {t.subjects[f.subject.type] ?? f.subject.type}{" "}
          <Code text={f.subject.name && f.subject.name !== f.subject.id ? `${f.subject.name} ${f.subject.id}` : f.subject.id} />
        </dd>
        {f.lineage && (
          <>
            <dt>{t.evidence.lineage}</dt>
            <dd>
              <Raw text={f.lineage} />
            </dd>
          </>
        )}
        <dt>{t.words.rule}</dt>
        <dd>
          <Link to={`/rules?rule=${encodeURIComponent(f.rule)}`}>
            <Code text={f.rule} />
          </Link>{" "}
          {(f.technique ?? []).map((x) => (
            <span key={x} className="tag">
              <Raw text={x} />
            </span>
          ))}
        </dd>
        <dt>{t.evidence.seen}</dt>
        <dd>
          {t.evidence.times(number(f.count), f.count)} · {t.evidence.first} <Ago time={f.time} /> · {t.evidence.last} <Ago time={f.last} />
        </dd>
        <dt>{t.words.sure}</dt>
        <dd className="dim">{t.evidence.meaning}</dd>
      </dl>
    </details>
  );
}
