import type { IncidentState, Severity } from "../api/types";
import { useT } from "../i18n";
import { confidence, percent } from "./format";

/** How bad it is if it is true: word, shape and colour say the same. */
export function SeverityMark({ value }: { value: Severity | undefined }) {
  const t = useT();
  const s = value ?? "info";
  return (
    <span className={`sev sev-${s}`}>
      <span className="bars" aria-hidden="true" />
      {t.severity[s] ?? s}
    </span>
  );
}

export function StateMark({ value }: { value: IncidentState }) {
  const t = useT();
  return <span className={`state state-${value}`}>{t.state[value] ?? value}</span>;
}

/** How sure we are, in words and as a figure. */
export function Sure({ value }: { value: number }) {
  const t = useT();
  const word = value >= 0.97 ? t.sure.certain : value >= 0.9 ? t.sure.very : value >= 0.7 ? t.sure.likely : t.sure.possible;
  return (
    <span className="sure">
      <span className="meter" aria-hidden="true">
        <span style={{ inlineSize: percent2(value) }} />
      </span>
      <span className="num">{confidence(value)}</span> <span className="dim">{word}</span>
    </span>
  );
}

const percent2 = (x: number) => `${Math.round(Math.max(0, Math.min(1, x)) * 100)}%`;

/** A share of one, as a bar beside its figure. */
export function Share({ value, digits = 0 }: { value: number; digits?: number }) {
  return (
    <span className="sure">
      <span className="meter" aria-hidden="true">
        <span style={{ inlineSize: percent2(value) }} />
      </span>
      <span className="num">{percent(value, digits)}</span>
    </span>
  );
}
