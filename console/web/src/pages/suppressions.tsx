import { useState } from "react";
import { invalidate, useData } from "../api/cache";
import { del, post } from "../api/client";
import type { Items, Suppression } from "../api/types";
import { useT } from "../i18n";
import { Act, Ask } from "../parts/act";
import { isSet, number } from "../parts/format";
import { Empty, NeedNote, Page, Show } from "../parts/states";
import { Ago, Code, Raw } from "../parts/text";

const by = ["subject", "sha256", "package", "path"] as const;
const spans = [1, 7, 30, 90] as const; // days

export default function Suppressions() {
  const t = useT();
  const answer = useData<Items<Suppression>>("/suppressions");
  const [adding, setAdding] = useState(false);
  const [ending, setEnding] = useState<Suppression>();
  return (
    <Page
      title={t.nav.suppressions}
      tools={
        <Act need="analyst" kind="primary" onClick={() => setAdding(true)}>
          {t.suppressions.add}
        </Act>
      }
    >
      <p className="lead">{t.suppressions.what}</p>
      <NeedNote need="analyst" />
      <Show answer={answer}>
        {(data) =>
          (data.items ?? []).length === 0 ? (
            <Empty icon="suppressions" title={t.suppressions.none} />
          ) : (
            <>
              <List rows={inForce(data)} end={setEnding} />
              {past(data).length > 0 && (
                <details>
                  <summary>{t.suppressions.past(past(data).length)}</summary>
                  <List rows={past(data)} />
                </details>
              )}
            </>
          )
        }
      </Show>
      {adding && <Add onClose={() => setAdding(false)} />}
      {ending && (
        <Ask
          title={t.suppressions.end}
          verb={t.suppressions.end}
          done={t.suppressions.ended}
          onClose={() => setEnding(undefined)}
          run={async () => {
            await del(`/suppressions/${encodeURIComponent(ending.id)}`);
            invalidate("/suppressions");
          }}
        >
          <p>{t.suppressions.endHint}</p>
        </Ask>
      )}
    </Page>
  );
}

const inForce = (data: Items<Suppression>) => (data.items ?? []).filter((s) => !isSet(s.ended));
const past = (data: Items<Suppression>) => (data.items ?? []).filter((s) => isSet(s.ended));

function List({ rows, end }: { rows: Suppression[]; end?: (s: Suppression) => void }) {
  const t = useT();
  if (rows.length === 0) return <p className="dim">{t.suppressions.none}</p>;
  return (
    <div className="scroll" role="group" aria-label={end ? t.nav.suppressions : t.suppressions.past(rows.length)} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.words.about}</th>
            <th scope="col">{t.words.rule}</th>
            <th scope="col">{t.words.why}</th>
            <th scope="col">{t.trail.who}</th>
            <th scope="col">{t.suppressions.expires}</th>
            <th scope="col" className="end">
              {t.suppressions.taken}
            </th>
            <th scope="col">
              <span className="sr">{t.words.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((s) => (
            <tr key={s.id}>
              <td>
                {by.map((k) => s[k] && <div key={k}>{t.suppressions.by[k]} <Code text={s[k]} /></div>)}
              </td>
              <td>{s.rule ? <Code text={s.rule} /> : t.filters.any}</td>
              <td>
                <Raw text={s.reason} />
              </td>
              <td>
                <Raw text={s.who} />
              </td>
              <td>
                <Ago time={isSet(s.ended) ? s.ended : s.expires} />
              </td>
              <td className="end">
                <span className="num">{number(s.count)}</span>
                {!!s.spared && <div className="dim">{t.suppressions.spared(number(s.spared))}</div>}
              </td>
              <td>
                {end ? (
                  <Act need="analyst" label={`${t.suppressions.end}: ${s.reason}`} onClick={() => end(s)}>
                    {t.suppressions.end}
                  </Act>
                ) : (
                  <Raw text={s.ended_by} />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Add({ onClose }: { onClose: () => void }) {
  const t = useT();
  const [kind, setKind] = useState<(typeof by)[number]>("subject");
  const [value, setValue] = useState("");
  const [rule, setRule] = useState("");
  const [days, setDays] = useState(7);
  const [critical, setCritical] = useState(false);
  return (
    <Ask
      title={t.suppressions.add}
      verb={t.suppressions.add}
      why
      done={t.suppressions.added}
      onClose={onClose}
      run={async (reason) => {
        const expires = new Date(Date.now() + days * 86_400_000).toISOString();
        await post("/suppressions", { [kind]: value.trim(), rule: rule.trim() || undefined, reason, expires, even_critical: critical || undefined });
        invalidate("/suppressions");
      }}
    >
      <p>{t.suppressions.addHint}</p>
      <div className="field">
        <label htmlFor="s-kind">{t.suppressions.kind}</label>
        <select id="s-kind" value={kind} onChange={(e) => setKind(by.find((b) => b === e.target.value) ?? "subject")}>
          {by.map((b) => (
            <option key={b} value={b}>
              {t.suppressions.by[b]}
            </option>
          ))}
        </select>
      </div>
      <div className="field">
        <label htmlFor="s-value">{t.suppressions.value}</label>
        <input id="s-value" required maxLength={4096} spellCheck={false} value={value} onChange={(e) => setValue(e.target.value)} />
      </div>
      <div className="field">
        <label htmlFor="s-rule">{t.suppressions.ruleOnly}</label>
        <input id="s-rule" maxLength={255} spellCheck={false} value={rule} onChange={(e) => setRule(e.target.value)} />
      </div>
      <div className="field">
        <label htmlFor="s-days">{t.suppressions.expires}</label>
        <select id="s-days" value={days} onChange={(e) => setDays(Number(e.target.value))}>
          {spans.map((d) => (
            <option key={d} value={d}>
              {t.units.days(String(d))}
            </option>
          ))}
        </select>
      </div>
      <label className="check">
        <input type="checkbox" checked={critical} onChange={(e) => setCritical(e.target.checked)} /> {t.suppressions.evenCritical}
      </label>
    </Ask>
  );
}
