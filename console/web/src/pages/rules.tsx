import { useEffect, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { useData } from "../api/cache";
import type { Items, ModuleDoc, RuleDoc } from "../api/types";
import { query } from "../api/client";
import { useLanguage, useT } from "../i18n";
import { Doc, section } from "../parts/doc";
import { Search, Select, useFilters } from "../parts/filters";
import { number } from "../parts/format";
import { SeverityMark } from "../parts/marks";
import { useRules } from "../parts/rules";
import { Empty, Page, Show } from "../parts/states";
import { Tell } from "../parts/tell";
import { Code, Raw } from "../parts/text";
import { severities } from "./incidents";

const names = ["text", "catalogue", "severity", "rule"] as const;
const preset = { catalogue: "detectors" };
const catalogues = ["detectors", "audits", "sensors", "responders"] as const;
const most = 200; // rules shown at once; the filter finds the others

export default function Rules() {
  const t = useT();
  const lang = useLanguage();
  const filters = useFilters(names, preset);
  const [params] = useSearchParams();
  const modules = useData<Items<ModuleDoc>>(`/modules${query({ lang })}`);
  const rules = useRules();
  const catalogue = filters.get("catalogue");
  const text = filters.get("text").toLowerCase();
  const rule = params.get("rule");
  const least = filters.get("severity");
  const inCatalogue = (c: string) => catalogue === "any" || c === catalogue;
  return (
    <Page title={t.nav.rules}>
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <Search filters={filters} name="text" label={t.filters.text} />
        <Select filters={filters} name="catalogue" label={t.rules.catalogue} options={catalogues.map((c) => [c, t.rules.catalogues[c]])} />
        <Select filters={filters} name="severity" label={t.filters.atLeast} options={severities.map((s) => [s, t.severity[s]])} />
        {filters.any && (
          <button type="button" className="quiet" onClick={filters.clear}>
            {t.filters.clear}
          </button>
        )}
      </form>
      {rule && <Asked id={rule} rules={rules.data?.items ?? []} />}
      <section aria-labelledby="modules-h">
        <h2 id="modules-h">{t.rules.modules}</h2>
        <Show answer={modules}>
          {(data) => {
            const some = (data.items ?? []).filter((m) => inCatalogue(m.catalogue) && `${m.name} ${m.title}`.toLowerCase().includes(text));
            if (some.length === 0) return <p className="dim">{t.filters.nothing}</p>;
            return some.map((m) => <Module key={`${m.catalogue}/${m.name}`} m={m} />);
          }}
        </Show>
      </section>
      <section aria-labelledby="rules-h">
        <h2 id="rules-h">{t.rules.rules}</h2>
        <Show answer={rules}>
          {(data) => {
            const some = (data.items ?? []).filter(
              (r) => inCatalogue(r.module.split("/")[0] ?? "") && (!least || least === "any" || severities.indexOf(r.severity) <= severities.indexOf(least as RuleDoc["severity"])) && `${r.id} ${r.title}`.toLowerCase().includes(text),
            );
            if (some.length === 0) return <Empty title={t.filters.nothing} />;
            return (
              <>
                <p className="dim">{some.length > most ? t.rules.firstOf(number(most), number(some.length)) : t.words.rows(number(some.length), some.length)}</p>
                {some.slice(0, most).map((r) => (
                  <Rule key={r.id} r={r} />
                ))}
              </>
            );
          }}
        </Show>
      </section>
    </Page>
  );
}

function Asked({ id, rules }: { id: string; rules: RuleDoc[] }) {
  const r = rules.find((x) => x.id === id);
  const t = useT();
  const lang = useLanguage();
  const [catalogue = "", name = ""] = (r?.module ?? "").split("/");
  const doc = useData<ModuleDoc>(r ? `/modules/${encodeURIComponent(catalogue)}/${encodeURIComponent(name)}${query({ lang })}` : null);
  const missed = section(doc.data?.doc ?? "", t.rules.heading) || section(doc.data?.doc ?? "", "What it misses");
  if (!r) return null;
  return (
    <section className="asked" aria-labelledby="asked-h">
      <h2 id="asked-h">
        <Raw text={r.title} />
      </h2>
      <RuleFacts r={r} />
      {missed && (
        <>
          <h3>{t.rules.misses}</h3>
          <Doc source={missed} />
        </>
      )}
    </section>
  );
}

function Module({ m }: { m: ModuleDoc }) {
  const t = useT();
  const lang = useLanguage();
  const [open, setOpen] = useState(false);
  const doc = useData<ModuleDoc>(open ? `/modules/${encodeURIComponent(m.catalogue)}/${encodeURIComponent(m.name)}${query({ lang })}` : null);
  return (
    <details className="claim" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <span className="claimhead">
          <strong>
            <Raw text={m.name} />
          </strong>
          <span className="claimtitle">
            <Raw text={m.title} />
          </span>
          {m.disabled && <span className="tag warn">{t.rules.off}</span>}
          {m.rules > 0 && <span className="dim">{t.rules.count(number(m.rules), m.rules)}</span>}
        </span>
      </summary>
      {open && <Show answer={doc}>{(d) => <Doc source={d.doc ?? ""} />}</Show>}
    </details>
  );
}

function RuleFacts({ r }: { r: RuleDoc }) {
  const t = useT();
  return (
    <dl className="facts">
      <dt>{t.words.rule}</dt>
      <dd>
        <Code text={r.id} />{" "}
        {r.technique.map((x) => (
          <span key={x} className="tag">
            <Raw text={x} />
          </span>
        ))}
      </dd>
      {r.why && (
        <>
          <dt>{t.words.why}</dt>
          <dd>
            <Tell text={r.why} />
          </dd>
        </>
      )}
      {r.advice && (
        <>
          <dt>{t.evidence.advice}</dt>
          <dd>
            <Raw text={r.advice} />
          </dd>
        </>
      )}
      <dt>{t.rules.module}</dt>
      <dd>
        <Code text={r.module} />
      </dd>
      {r.references.length > 0 && (
        <>
          <dt>{t.rules.references}</dt>
          <dd>
            {r.references.map((x) => (
              <div key={x}>
                <Code text={x} />
              </div>
            ))}
          </dd>
        </>
      )}
    </dl>
  );
}

function Rule({ r }: { r: RuleDoc }) {
  const ref = useRef<HTMLDetailsElement>(null);
  const [params] = useSearchParams();
  const asked = params.get("rule") === r.id;
  useEffect(() => {
    if (asked && ref.current) ref.current.open = true;
  }, [asked]);
  return (
    <details className="claim" ref={ref}>
      <summary>
        <span className="claimhead">
          <SeverityMark value={r.severity} />
          <span className="claimtitle">
            <Raw text={r.title} />
          </span>
          <Code text={r.id} />
        </span>
      </summary>
      <RuleFacts r={r} />
    </details>
  );
}
