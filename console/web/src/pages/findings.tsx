import "../styles/lists.css";
import { Link } from "react-router";
import { useLive } from "../api/events";
import { useList } from "../api/list";
import type { StoredFinding } from "../api/types";
import { useT } from "../i18n";
import type { Messages } from "../i18n/en";
import { Search, Select, useFilters } from "../parts/filters";
import { number } from "../parts/format";
import { SeverityMark, Sure } from "../parts/marks";
import { Said } from "../parts/rules";
import { Empty, Failed, Loading, Page } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { Ago, Code, Raw } from "../parts/text";
import { severities } from "./incidents";

const names = ["severity", "rule", "subject", "text", "since"] as const;
const preset = {};

const id = (r: StoredFinding) => `${r.incident} ${r.seq}`;

function columns(t: Messages): Column<StoredFinding>[] {
  return [
    { key: "severity", head: t.words.severity, cell: (r) => <SeverityMark value={r.severity} /> },
    {
      key: "title",
      head: t.findings.claim,
      cell: (r) => (
        <Link to={`/incidents/${encodeURIComponent(r.incident)}`}>
          <span className="line">
            <Said rule={r.rule} part="title" text={r.title} />
          </span>{" "}
          <span className="dim line subject">
            <Raw text={r.subject.name || r.subject.id} />
          </span>
        </Link>
      ),
    },
    { key: "rule", head: t.words.rule, cell: (r) => <Code text={r.rule} /> },
    { key: "sure", head: t.words.sure, cell: (r) => <Sure value={r.confidence} /> },
    { key: "findings", head: t.findings.count, cell: (r) => number(r.count), end: true },
    { key: "updated", head: t.findings.last, cell: (r) => <Ago time={r.last} />, end: true },
  ];
}

export default function Findings() {
  const t = useT();
  const filters = useFilters(names, preset);
  const live = useLive("finding");
  const list = useList<StoredFinding>(`/findings${filters.query ? `?${filters.query}` : ""}`, id, live);
  return (
    <Page title={t.nav.findings}>
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <Search filters={filters} name="text" label={t.filters.text} />
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
        <Empty title={filters.any ? t.filters.nothing : t.findings.none}>{filters.any ? t.filters.nothingHint : t.incidents.noneHint}</Empty>
      ) : (
        <Table label={t.nav.findings} className="findings" columns={columns(t)} rows={list.items} id={id} more={list.more} loading={list.loading} onEnd={list.askMore} />
      )}
    </Page>
  );
}
