import "../styles/drills.css";
import { useEffect, useState } from "react";
import { Link } from "react-router";
import { invalidate, useData } from "../api/cache";
import { post } from "../api/client";
import { listen } from "../api/events";
import type { DrillDoc, DrillNews, Items } from "../api/types";
import { useT } from "../i18n";
import { Act, Ask } from "../parts/act";
import { isSet, number } from "../parts/format";
import { Icon } from "../parts/icons";
import { NeedNote, Page, Show } from "../parts/states";
import { Tell } from "../parts/tell";
import { Ago, Code, Raw, useNow } from "../parts/text";

export default function Drills() {
  const t = useT();
  const answer = useData<Items<DrillDoc>>("/drills");
  const [news, setNews] = useState<Record<string, DrillNews>>({});
  const [ask, setAsk] = useState<DrillDoc>();
  useEffect(
    () =>
      listen("drill", (data) => {
        const n = data as DrillNews | undefined;
        if (n?.drill) setNews((old) => ({ ...old, [n.drill]: n }));
      }),
    [],
  );
  return (
    <Page title={t.nav.drills}>
      <p className="lead">{t.drills.what}</p>
      <NeedNote need="responder" />
      <Show answer={answer}>
        {(data) => (
          <ul className="cards drills">
            {(data.items ?? []).map((d) => {
              const last = news[d.name] ?? d.last;
              return (
                <li key={d.name} className={`card drill drill-${last?.state ?? "never"}`}>
                  <h2>
                    <Raw text={d.name} />
                  </h2>
                  <p>
                    <Tell text={d.title} />
                  </p>
                  <p className="tags">
                    {d.technique.map((x) => (
                      <span key={x} className="tag">
                        <Raw text={x} />
                      </span>
                    ))}
                  </p>
                  <Outcome last={last} />
                  {d.rules.length > 0 && (
                    <details>
                      <summary>{t.drills.rules(d.rules.length)}</summary>
                      <ul>
                        {d.rules.map((r) => (
                          <li key={r}>
                            <Link to={`/rules?rule=${encodeURIComponent(r)}`}>
                              <Code text={r} />
                            </Link>
                          </li>
                        ))}
                      </ul>
                    </details>
                  )}
                  <Act need="responder" kind="primary" label={`${t.drills.run}: ${d.name}`} busy={last?.state === "running"} onClick={() => setAsk(d)}>
                    {last?.state === "running" ? t.drills.running : t.drills.run}
                  </Act>
                </li>
              );
            })}
          </ul>
        )}
      </Show>
      {ask && (
        <Ask
          title={`${t.drills.run}: ${ask.name}`}
          verb={t.drills.run}
          done={t.drills.begun}
          onClose={() => setAsk(undefined)}
          run={async () => {
            await post(`/drills/${encodeURIComponent(ask.name)}/runs`);
            invalidate("/drills");
          }}
        >
          <p>
            <Tell text={ask.title} />
          </p>
          <p>{t.drills.harmless}</p>
        </Ask>
      )}
    </Page>
  );
}

function Outcome({ last }: { last: DrillNews | undefined }) {
  const t = useT();
  const now = useNow();
  if (!last) return <p className="dim outcome">{t.drills.never}</p>;
  const icon = last.state === "seen" ? "check" : last.state === "running" ? "drills" : "cross";
  return (
    <div className={`outcome outcome-${last.state}`} role="status">
      <p>
        <Icon name={icon} size={16} />{" "}
        {last.state === "seen" && last.after !== undefined
          ? t.drills.seen(number(last.after, 1))
          : last.state === "running" && isSet(last.began)
            ? t.drills.since(number(Math.max(0, Math.floor((now - new Date(last.began).getTime()) / 1000))))
            : (t.drills.states[last.state] ?? last.state)}
      </p>
      {last.rule && (
        <p>
          {t.drills.by} <Code text={last.rule} />
        </p>
      )}
      {last.error && (
        <p>
          <Tell text={last.error} lines />
        </p>
      )}
      <p className="dim">
        <Ago time={last.began} />
        {last.who && (
          <>
            {" · "}
            <Raw text={last.who} />
          </>
        )}
        {last.state === "seen" && (
          <>
            {" · "}
            <Link to="/incidents?since=1h">{t.drills.incidents}</Link>
          </>
        )}
      </p>
    </div>
  );
}
