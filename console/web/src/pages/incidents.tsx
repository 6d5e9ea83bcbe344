import "../styles/lists.css";
import { Link } from "react-router";
import { useLive } from "../api/events";
import { useList } from "../api/list";
import type { IncidentRow, Severity } from "../api/types";
import { useT } from "../i18n";
import type { Messages } from "../i18n/en";
import { Search, Select, useFilters } from "../parts/filters";
import { number } from "../parts/format";
import { SeverityMark, StateMark, Sure } from "../parts/marks";
import { Empty, Failed, Loading, Page } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { Ago, Raw } from "../parts/text";
import { Due } from "../parts/due";
import { Said } from "../parts/rules";

const names = ["state", "severity", "host", "rule", "subject", "text", "since"] as const;
const preset = {};
const id = (r: IncidentRow) => r.id;

export const severities: Severity[] = ["critical", "high", "medium", "low", "info"];

function columns(t: Messages): Column<IncidentRow>[] {
  return [
    { key: "severity", head: t.words.severity, cell: (r) => <SeverityMark value={r.severity} /> },
    {
      key: "title",
      head: t.incidents.what,
      cell: (r) => (
        <Link to={`/incidents/${encodeURIComponent(r.id)}`}>
          <span className="line">
            <Said rule={r.rules[0]} part="title" text={r.title} />
          </span>{" "}
          <span className="dim line subject">
            <Raw text={r.subject.name || r.subject.id} />
          </span>
        </Link>
      ),
    },
    { key: "state", head: t.words.state, cell: (r) => <StateMark value={r.state} /> },
    { key: "sure", head: t.words.sure, cell: (r) => <Sure value={r.score} /> },
    { key: "host", head: t.words.host, cell: (r) => <Raw text={r.host} /> },
    { key: "findings", head: t.nav.findings, cell: (r) => number(r.findings), end: true },
    { key: "due", head: t.incidents.deadline, cell: (r) => <Due value={r.deadline} /> },
    { key: "who", head: t.incidents.assignee, cell: (r) => (r.assignee ? <Raw text={r.assignee} /> : <span className="dim">{t.words.nobody}</span>) },
    { key: "updated", head: t.words.updated, cell: (r) => <Ago time={r.updated} />, end: true },
  ];
}

export default function Incidents() {
  const t = useT();
  const filters = useFilters(names, preset);
  const live = useLive("incident", "action");
  const list = useList<IncidentRow>(`/incidents${filters.query ? `?${filters.query}` : ""}`, id, live);
  return (
    <Page title={t.nav.incidents}>
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <Search filters={filters} name="text" label={t.filters.text} />
        <Select filters={filters} name="state" label={t.words.state} options={(["open", "contained", "closed"] as const).map((s) => [s, t.state[s]])} />
        <Select filters={filters} name="severity" label={t.filters.atLeast} options={severities.map((s) => [s, t.severity[s]])} />
        <Select filters={filters} name="since" label={t.filters.since} options={t.filters.spans} />
        <Search filters={filters} name="rule" label={t.words.rule} type="text" />
        {filters.any && (
          <button type="button" className="quiet" onClick={filters.clear}>
            {t.filters.clear}
          </button>
        )}
      </form>
      {list.error && <Failed error={list.error} retry={list.reload} />}
      {list.items.length === 0 && list.loading ? (
        <Loading />
      ) : list.items.length === 0 && !list.error ? (
        <Empty title={filters.any ? t.filters.nothing : t.incidents.none}>{filters.any ? t.filters.nothingHint : t.incidents.noneHint}</Empty>
      ) : (
        <Table label={t.nav.incidents} className="incidents" columns={columns(t)} rows={list.items} id={id} more={list.more} loading={list.loading} onEnd={list.askMore} />
      )}
    </Page>
  );
}
