import { useData } from "../../api/cache";
import type { Impact as Cost } from "../../api/types";
import { useT } from "../../i18n";
import { atLeast, duration, money, number, percent } from "../../parts/format";
import { Share } from "../../parts/marks";
import { Failed } from "../../parts/states";

/** What it took from the machine, and where each figure comes from. */
export function Impact({ path }: { path: string }) {
  const t = useT();
  const answer = useData<Cost>(`${path}/impact`);
  if (answer.error?.status === 404) return null;
  const i = answer.data;
  return (
    <section id="impact" aria-labelledby="impact-h">
      <h2 id="impact-h">{t.incident.parts.impact}</h2>
      {answer.error && <Failed error={answer.error} retry={answer.reload} />}
      {i && !i.measured && <p className="dim">{t.impact.notMeasured}</p>}
      {i?.measured && (
        <>
          <dl className="figures">
            <div>
              <dt>{t.impact.cpu}</dt>
              <dd>{duration(i.cpu_hours * 3600)}</dd>
            </div>
            <div>
              <dt>{t.impact.energy}</dt>
              <dd>{t.units.kwh(atLeast(i.kwh, 3))}</dd>
            </div>
            <div>
              <dt>{t.impact.cost}</dt>
              <dd>{money(i.energy_cost, i.prices.currency)}</dd>
            </div>
            <div>
              <dt>{t.impact.rented}</dt>
              <dd>{money(i.cloud_cost, i.prices.currency)}</dd>
            </div>
          </dl>
          <dl className="facts">
            <dt>{t.impact.share}</dt>
            <dd>
              <Share value={i.share} />
            </dd>
            <dt>{t.impact.slowdown}</dt>
            <dd>
              <Share value={i.stalled} /> <span className="dim">{t.impact.slowdownHint(percent(i.stalled))}</span>
            </dd>
            <dt>{t.impact.sources}</dt>
            <dd className="dim">
              {t.impact.energyFrom[i.kwh_source] ?? i.kwh_source} {i.kwh_source === "model" && t.impact.model(number(i.prices.watts_per_cpu, 1))}{" "}
              {t.impact.prices(money(i.prices.kwh, i.prices.currency), money(i.prices.cpu_hour, i.prices.currency))}
            </dd>
          </dl>
        </>
      )}
    </section>
  );
}
