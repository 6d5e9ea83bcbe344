import { useId } from "react";
import { useData } from "../../api/cache";
import type { Graph, GraphEdge, GraphNode, Incident } from "../../api/types";
import { useT } from "../../i18n";
import type { Messages } from "../../i18n/en";
import { isSet } from "../../parts/format";
import { box, draw } from "../../parts/graph";
import { Empty, Show } from "../../parts/states";
import { Code, Raw } from "../../parts/text";
import { visible } from "../../parts/visible";

const pad = 6;

/** Who started what and what it touched: drawn, and as a list that says the same. */
export function Lineage({ path, inc }: { path: string; inc: Incident }) {
  const t = useT();
  const answer = useData<Graph>(`${path}/graph`);
  return (
    <section id="lineage" aria-labelledby="lineage-h">
      <h2 id="lineage-h">{t.incident.parts.lineage}</h2>
      <Show answer={answer}>
        {(g) =>
          g.nodes.length === 0 ? (
            <Empty icon="process" title={t.lineage.none} />
          ) : (
            <>
              <Picture graph={g} />
              {!!g.more && <p className="dim">{t.lineage.more(g.more)}</p>}
              <details>
                <summary>{t.lineage.list}</summary>
                <Tree graph={g} />
              </details>
            </>
          )
        }
      </Show>
      <Members inc={inc} />
    </section>
  );
}

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const sub = (t: Messages, n: GraphNode) => [t.subjects[n.kind] ?? n.kind, n.ended ? t.lineage.ended : n.member ? t.lineage.member : ""].filter(Boolean).join(" · ");

function Picture({ graph }: { graph: Graph }) {
  const t = useT();
  const id = useId();
  const d = draw(graph);
  return (
    <div className="picture" role="group" aria-label={t.lineage.picture} tabIndex={0}>
      <svg width={d.width + pad * 2} height={d.height + pad * 2} viewBox={`${-pad} ${-pad} ${d.width + pad * 2} ${d.height + pad * 2}`} role="img" aria-labelledby={id}>
        <title id={id}>{t.lineage.described(graph.nodes.length, graph.edges.length)}</title>
        {d.edges.map((e) => {
          const x1 = e.a.x + box.width;
          const y1 = e.a.y + box.height / 2;
          const y2 = e.b.y + box.height / 2;
          const mid = e.b.x - box.gapX / 2;
          return <path key={`${e.from} ${e.to} ${e.label ?? ""}`} className={e.b.member ? "edge hot" : "edge"} d={`M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${e.b.x} ${y2}`} />;
        })}
        {d.nodes.map((n) => (
          <g key={n.id} transform={`translate(${n.x} ${n.y})`} className={`node sev-${n.severity ?? "info"}${n.member ? " member" : ""}${n.ended ? " ended" : ""}`}>
            <title>{visible(n.detail || n.label)}</title>
            <rect width={box.width} height={box.height} rx="6" />
            <rect className="mark" width="5" height={box.height} rx="2.5" />
            <text x="14" y="18" className="name">
              {cut(visible(n.label), 21)}
            </text>
            <text x="14" y="34" className="kind">
              {cut(sub(t, n), 26)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

/** The same as nested lists; what was shown once is not shown again. */
function Tree({ graph }: { graph: Graph }) {
  const t = useT();
  const targets = new Set(graph.edges.map((e) => e.to));
  const roots = graph.nodes.filter((n) => !targets.has(n.id));
  const seen = new Set<string>();
  const branch = (n: GraphNode, edge?: GraphEdge) => {
    if (seen.has(n.id)) return null;
    seen.add(n.id);
    const next = graph.edges.filter((e) => e.from === n.id);
    return (
      <li key={n.id}>
        {edge?.label && <span className="dim">{t.lineage.verbs[edge.label] ?? edge.label} </span>}
        <strong>
          <Raw text={n.label} />
        </strong>{" "}
        <span className="dim">
          {sub(t, n)}
          {n.severity && n.severity !== "info" && ` · ${t.severity[n.severity]}`}
        </span>
        {n.detail && (
          <>
            {" "}
            <Code text={n.detail} />
          </>
        )}
        {next.length > 0 && (
          <ul>
            {next.map((e) => {
              const to = graph.nodes.find((x) => x.id === e.to);
              return to ? branch(to, e) : null;
            })}
          </ul>
        )}
      </li>
    );
  };
  return <ul className="tree">{(roots.length > 0 ? roots : graph.nodes.slice(0, 1)).map((n) => branch(n))}</ul>;
}

function Members({ inc }: { inc: Incident }) {
  const t = useT();
  const members = inc.members ?? [];
  if (members.length === 0) return null;
  return (
    <details>
      <summary>{t.lineage.members(members.length)}</summary>
      <div className="scroll" role="group" aria-label={t.lineage.members(members.length)} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t.words.pid}</th>
              <th scope="col">{t.words.name}</th>
              <th scope="col">{t.host.command}</th>
              <th scope="col">{t.words.state}</th>
              <th scope="col">{t.host.origin}</th>
            </tr>
          </thead>
          <tbody>
            {members.map((m) => (
              <tr key={`${m.key.pid}@${m.key.start}`}>
                <td className="num">{m.key.pid}</td>
                <td>
                  <Raw text={m.name} />
                </td>
                <td>
                  <Code text={(m.args ?? []).join(" ") || m.exe} />
                </td>
                <td>{isSet(m.exited) ? t.lineage.ended : t.lineage.runs}</td>
                <td>
                  <Code text={m.package || (m.container?.id ? `${m.container.runtime ?? ""} ${m.container.id.slice(0, 12)}` : (m.sha256 ?? "").slice(0, 16))} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
