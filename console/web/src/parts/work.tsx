// What of a running process speaks for proof of work, as raw figures and in words.

import type { LiveProcess, Work } from "../api/types";
import { useT } from "../i18n";
import type { Messages } from "../i18n/en";
import { bytes, duration, isSet, number, percent } from "./format";
import { Ago, Code, Raw } from "./text";

const enough = 16; // reads of the rounding mode before their spread says anything

/** Ordinary programs round to nearest; RandomX uses all four modes in turn. */
export function modes(w: Work): { used: number; reads: number } {
  const all = [w.near, w.down, w.up, w.zero];
  return { used: all.filter((n) => n > 0).length, reads: all.reduce((a, b) => a + b, 0) };
}

export interface Word {
  text: string;
  strong: boolean;
}

/** What a list says of it: only what ordinary programs rarely do. The rest is in the detail. */
export function workWords(w: Work | undefined, t: Messages): Word[] {
  if (!w) return [];
  const out: Word[] = [];
  const m = modes(w);
  if (m.used > 1) out.push({ text: t.work.modes(m.used), strong: m.used > 2 && m.reads >= enough });
  if (w.anon_samples > 0) out.push({ text: t.work.generated(percent(w.anon_samples / Math.max(1, w.samples))), strong: false });
  if (w.huge > 0) out.push({ text: t.work.huge(bytes(w.huge)), strong: false });
  return out;
}

export function ProcessDetail({ p }: { p: LiveProcess }) {
  const t = useT();
  const w = p.work;
  return (
    <div className="workdetail">
      <dl className="facts">
        <dt>{t.host.command}</dt>
        <dd>
          <Code text={p.args.join(" ") || p.name} />
        </dd>
        {p.exe && (
          <>
            <dt>{t.host.program}</dt>
            <dd>
              <Code text={p.exe} />
            </dd>
          </>
        )}
        {p.lineage && (
          <>
            <dt>{t.evidence.lineage}</dt>
            <dd>
              <Raw text={p.lineage} />
            </dd>
          </>
        )}
        {p.sha256 && (
          <>
            <dt>{t.host.sha256}</dt>
            <dd>
              <Code text={p.sha256} />
            </dd>
          </>
        )}
        {isSet(p.started) && (
          <>
            <dt>{t.host.started}</dt>
            <dd>
              <Ago time={p.started} />
            </dd>
          </>
        )}
        <dt>{t.host.user}</dt>
        <dd className="num">{t.host.userOf(p.uid, p.tasks, p.nice ?? 0)}</dd>
        <dt>{t.host.total}</dt>
        <dd>{duration(p.cpu_seconds)}</dd>
      </dl>
      <div>
        <h3>{t.work.title}</h3>
        {!w ? (
          <p className="dim">{t.work.none}</p>
        ) : (
          <dl className="facts">
            <dt>{t.work.rounding}</dt>
            <dd className="num">{t.work.roundingOf(number(w.near), number(w.down), number(w.up), number(w.zero))}</dd>
            <dt>{t.work.samples}</dt>
            <dd className="num">{t.work.samplesOf(number(w.anon_samples), number(w.samples))}</dd>
            <dt>{t.work.anonExec}</dt>
            <dd className="num">{bytes(w.anon_exec)}</dd>
            <dt>{t.work.hugePages}</dt>
            <dd className="num">{bytes(w.huge)}</dd>
            {w.regions.length > 0 && (
              <>
                <dt>{t.work.regions}</dt>
                <dd className="num">{w.regions.map((r) => bytes(r)).join(" · ")}</dd>
              </>
            )}
            <dt>{t.work.flips}</dt>
            <dd className="num">{number(w.wx)}</dd>
            {w.tuned.length > 0 && (
              <>
                <dt>{t.work.tuned}</dt>
                <dd>
                  <Raw text={w.tuned.join(", ")} />
                </dd>
              </>
            )}
          </dl>
        )}
        {w && <p className="dim">{t.work.meaning}</p>}
      </div>
    </div>
  );
}
