import { useData } from "../../api/cache";
import { useT } from "../../i18n";
import { duration, money, number, percent } from "../../parts/format";
import { Failed } from "../../parts/states";
import { Values } from "../../parts/schema";

interface Cost {
  cpu_seconds?: number;
  kwh?: number;
  cost?: number;
  currency?: string;
  slowdown?: number;
}

/** What it took from the machine, and where each figure comes from. */
export function Impact({ path }: { path: string }) {
  const t = useT();
  const answer = useData<Cost & Record<string, unknown>>(`${path}/impact`);
  if (answer.error?.status === 404) return null;
  const i = answer.data;
  const rest = Object.fromEntries(Object.entries(i ?? {}).filter(([k]) => !["cpu_seconds", "kwh", "cost", "currency", "slowdown", "incident", "id"].includes(k)));
  return (
    <section id="impact" aria-labelledby="impact-h">
      <h2 id="impact-h">{t.incident.parts.impact}</h2>
      {answer.error && <Failed error={answer.error} retry={answer.reload} />}
      {i && (
        <>
          <dl className="figures">
            {i.cpu_seconds !== undefined && (
              <div>
                <dt>{t.impact.cpu}</dt>
                <dd>{duration(i.cpu_seconds)}</dd>
              </div>
            )}
            {i.kwh !== undefined && (
              <div>
                <dt>{t.impact.energy}</dt>
                <dd>{t.units.kwh(number(i.kwh, 3))}</dd>
              </div>
            )}
            {i.cost !== undefined && (
              <div>
                <dt>{t.impact.cost}</dt>
                <dd>{money(i.cost, i.currency ?? "")}</dd>
              </div>
            )}
            {i.slowdown !== undefined && (
              <div>
                <dt>{t.impact.slowdown}</dt>
                <dd>{percent(i.slowdown, 1)}</dd>
              </div>
            )}
          </dl>
          {Object.keys(rest).length > 0 && (
            <details>
              <summary>{t.impact.sources}</summary>
              <Values value={rest} />
            </details>
          )}
        </>
      )}
    </section>
  );
}
