import { Link } from "react-router";
import { useData, usePolling } from "../../api/cache";
import type { Connection, Items } from "../../api/types";
import { useT } from "../../i18n";
import { bytes } from "../../parts/format";
import { Show } from "../../parts/states";
import { Ago, Code, Raw } from "../../parts/text";

/** Conversations of one process with one remote are one line: each look-up of a name would be a line of its own. */
export function merge(all: Connection[]): { c: Connection; n: number }[] {
  const out = new Map<string, { c: Connection; n: number }>();
  for (const c of all) {
    const key = [c.proto, c.app, c.key?.pid, c.key?.start, c.remote, c.result, c.incident, ...c.matches].join(" ");
    const was = out.get(key);
    if (!was) out.set(key, { c, n: 1 });
    else out.set(key, { n: was.n + 1, c: { ...was.c, out: was.c.out + c.out, in: was.c.in + c.in, last: was.c.last > c.last ? was.c.last : c.last } });
  }
  return [...out.values()];
}

export function Connections({ every }: { every: number }) {
  const t = useT();
  const answer = useData<Items<Connection>>("/hosts/this/connections?limit=300");
  usePolling(answer.reload, every);
  return (
    <section aria-labelledby="connections-h">
      <h2 id="connections-h">{t.host.connections}</h2>
      <Show answer={answer}>
        {(data) =>
          (data.items ?? []).length === 0 ? (
            <p className="dim">{t.host.noConnections}</p>
          ) : (
            <div className="scroll" role="group" aria-label={t.host.connections} tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">{t.host.process}</th>
                    <th scope="col">{t.host.remote}</th>
                    <th scope="col">{t.host.protocol}</th>
                    <th scope="col" className="end">
                      {t.host.sent}
                    </th>
                    <th scope="col" className="end">
                      {t.host.received}
                    </th>
                    <th scope="col">{t.host.matches}</th>
                    <th scope="col">{t.host.last}</th>
                  </tr>
                </thead>
                <tbody>
                  {merge(data.items ?? []).map(({ c, n }, i) => (
                    <tr key={`${c.proto} ${c.key?.pid ?? 0} ${c.remote} ${i}`} className={c.incident || c.matches.length > 0 ? "accused" : undefined}>
                      <td>
                        <Raw text={c.process || t.words.unknown} /> {c.key && c.key.pid > 0 && <span className="dim num">{c.key.pid}</span>}
                      </td>
                      <td>
                        <Code text={c.remote} /> {n > 1 && <span className="dim">{t.host.times(n)}</span>}
                        {c.name && (
                          <span className="dim">
                            {" "}
                            <Raw text={c.name} />
                          </span>
                        )}
                      </td>
                      <td>
                        <Raw text={[c.proto, c.app].filter(Boolean).join(" ")} /> {c.result && <span className="dim"><Raw text={c.result} /></span>}
                      </td>
                      <td className="num end">{bytes(c.out)}</td>
                      <td className="num end">{bytes(c.in)}</td>
                      <td>
                        {c.matches.map((m) => (
                          <span key={m} className="tag hot">
                            <Raw text={m} />
                          </span>
                        ))}
                        {c.incident && <Link to={`/incidents/${encodeURIComponent(c.incident)}`}>{t.host.open}</Link>}
                      </td>
                      <td>
                        <Ago time={c.last} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Show>
    </section>
  );
}
