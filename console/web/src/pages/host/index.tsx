import "../../styles/host.css";
import { useState } from "react";
import { Link } from "react-router";
import { useData, usePolling } from "../../api/cache";
import type { Host as HostInfo, Items, LiveProcess, Sensors } from "../../api/types";
import { useT } from "../../i18n";
import { Chart } from "../../parts/chart";
import { bytes, duration, isSet, number, percent } from "../../parts/format";
import { Page, Show } from "../../parts/states";
import { Tell } from "../../parts/tell";
import { Ago, Raw } from "../../parts/text";
import { visible } from "../../parts/visible";
import { ProcessDetail, workWords } from "../../parts/work";
import { Connections } from "./connections";

const every = 3000; // ms
const look = 2; // seconds between two points of the curve

export default function Host() {
  const t = useT();
  const hosts = useData<Items<HostInfo>>("/hosts");
  usePolling(hosts.reload, every);
  return (
    <Page title={t.nav.host}>
      <Show answer={hosts}>
        {(h) => {
          const host = (h.items ?? []).find((x) => x.this) ?? h.items?.[0];
          if (!host) return null;
          return (
            <>
              <Machine host={host} />
              <Processes />
              <Connections every={every} />
              <SensorTable />
            </>
          );
        }}
      </Show>
    </Page>
  );
}

function Machine({ host }: { host: HostInfo }) {
  const t = useT();
  const now = Date.now() / 1000;
  const busy = host.busy ?? [];
  const latest = busy[busy.length - 1];
  return (
    <section aria-labelledby="machine-h">
      <h2 id="machine-h">
        <Raw text={host.name} />
      </h2>
      <div className="machine">
        <dl className="facts">
          <dt>{t.host.system}</dt>
          <dd>
            <Raw text={[host.os, host.kernel, host.arch].filter(Boolean).join(" · ")} />
          </dd>
          <dt>{t.host.cpus}</dt>
          <dd>{number(host.cpus)}</dd>
          {isSet(host.booted) && (
            <>
              <dt>{t.host.booted}</dt>
              <dd>
                <Ago time={host.booted} />
              </dd>
            </>
          )}
          {isSet(host.since) && (
            <>
              <dt>{t.host.since}</dt>
              <dd>
                <Ago time={host.since} />
              </dd>
            </>
          )}
          {host.version && (
            <>
              <dt>{t.host.version}</dt>
              <dd>
                <Raw text={host.version} />
              </dd>
            </>
          )}
        </dl>
        <figure>
          <figcaption>
            {t.host.busy} {latest !== undefined && <strong>{percent(latest)}</strong>}
          </figcaption>
          <Chart label={t.host.busyLabel(percent(latest ?? 0), number(busy.length * look))} x={busy.map((_, i) => now - (busy.length - 1 - i) * look)} y={busy} max={1} unit={(v) => percent(v)} />
        </figure>
      </div>
    </section>
  );
}

function Processes() {
  const t = useT();
  const answer = useData<Items<LiveProcess>>("/hosts/this/processes?limit=30");
  usePolling(answer.reload, every);
  const [open, setOpen] = useState<string>();
  return (
    <section aria-labelledby="processes-h">
      <h2 id="processes-h">{t.host.processes}</h2>
      <p className="dim">{t.host.processesHint}</p>
      <Show answer={answer}>
        {(data) => (
          <div className="scroll" role="group" aria-label={t.host.processes} tabIndex={0}>
            <table className="processes">
              <thead>
                <tr>
                  <th scope="col" className="end">
                    {t.host.cpu}
                  </th>
                  <th scope="col">{t.words.name}</th>
                  <th scope="col">{t.host.work}</th>
                  <th scope="col" className="end">
                    {t.host.total}
                  </th>
                  <th scope="col" className="end">
                    {t.host.memory}
                  </th>
                  <th scope="col">{t.host.origin}</th>
                  <th scope="col">{t.words.incident}</th>
                </tr>
              </thead>
              <tbody>
                {(data.items ?? []).map((p) => (
                  <ProcessRow key={p.id} p={p} open={open === p.id} toggle={() => setOpen(open === p.id ? undefined : p.id)} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Show>
    </section>
  );
}

function ProcessRow({ p, open, toggle }: { p: LiveProcess; open: boolean; toggle: () => void }) {
  const t = useT();
  const words = workWords(p.work, t);
  return (
    <>
      <tr className={p.incident ? "accused" : undefined}>
        <td className="num end">{percent(p.cpu)}</td>
        <td>
          <button type="button" className="rowbutton" aria-expanded={open} onClick={toggle} title={visible(p.args.join(" ") || p.exe || p.name)}>
            <Raw text={p.name || p.exe || t.host.nameless} />
          </button>{" "}
          <span className="dim num">{p.key.pid}</span>
        </td>
        <td>{words.length > 0 ? words.map((w) => <span key={w.text} className={w.strong ? "tag hot" : "tag"}>{w.text}</span>) : <span className="dim">{t.words.none}</span>}</td>
        <td className="num end">{duration(p.cpu_seconds)}</td>
        <td className="num end">{bytes(p.rss)}</td>
        <td className="dim">
          <Raw text={p.package || (p.container?.id ? `${p.container.runtime ?? ""} ${p.container.id.slice(0, 12)}` : p.exe ? t.host.unpackaged : t.host.kernel)} />
        </td>
        <td>{p.incident && <Link to={`/incidents/${encodeURIComponent(p.incident)}`}>{t.host.open}</Link>}</td>
      </tr>
      {open && (
        <tr className="expanded">
          <td colSpan={7}>
            <ProcessDetail p={p} />
          </td>
        </tr>
      )}
    </>
  );
}

function SensorTable() {
  const t = useT();
  const answer = useData<Sensors>("/sensors");
  usePolling(answer.reload, every * 3);
  return (
    <section aria-labelledby="sensors-h">
      <h2 id="sensors-h">{t.overview.sensors}</h2>
      <Show answer={answer}>
        {(s) => (
          <>
            {s.store.error && (
              <p className="failed" role="alert">
                {t.sensors.unsaved(number(s.store.unsaved))} <Raw text={s.store.error} />
              </p>
            )}
            <div className="scroll" role="group" aria-label={t.overview.sensors} tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">{t.words.name}</th>
                    <th scope="col">{t.words.state}</th>
                    <th scope="col" className="end">
                      {t.sensors.events}
                    </th>
                    <th scope="col" className="end">
                      {t.sensors.lost}
                    </th>
                    <th scope="col">{t.words.why}</th>
                  </tr>
                </thead>
                <tbody>
                  {s.items.map((x) => (
                    <tr key={x.name}>
                      <td>
                        <Raw text={x.name} />
                      </td>
                      <td>
                        <span className={`sensor sensor-${x.state}`}>{t.sensors.states[x.state] ?? x.state}</span>
                      </td>
                      <td className="num end">{number(x.events)}</td>
                      <td className={x.dropped > 0 ? "num end warn" : "num end"}>{number(x.dropped)}</td>
                      <td>
                        <Tell text={x.reason} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <details>
              <summary>{t.sensors.detectors(s.detectors.length)}</summary>
              <ul className="chips">
                {s.detectors.map((d) => (
                  <li key={d.name} className={d.off ? "tag warn" : "tag"}>
                    <Raw text={d.name} /> {d.off ? <Raw text={d.off} /> : number(d.findings)}
                  </li>
                ))}
              </ul>
            </details>
          </>
        )}
      </Show>
    </section>
  );
}
