import { useState } from "react";
import { useData } from "../../api/cache";
import { post } from "../../api/client";
import type { AlertStatus, Items, Setting } from "../../api/types";
import { languages, setLanguage, useLanguage, useT } from "../../i18n";
import { Act } from "../../parts/act";
import { number } from "../../parts/format";
import { Page, Show } from "../../parts/states";
import { useAuth } from "../../parts/session";
import { Code, Raw } from "../../parts/text";
import { setTheme, themes, useTheme } from "../../parts/theme";
import { say } from "../../parts/toast";
import { Passkeys, Password, Tokens } from "./login";

export default function Settings() {
  const t = useT();
  const { can } = useAuth();
  return (
    <Page title={t.nav.settings}>
      <Session />
      <Look />
      <Password />
      <Passkeys />
      <Tokens />
      {can("analyst") && <Alerts />}
      {can("admin") && <Effective />}
    </Page>
  );
}

function Session() {
  const t = useT();
  const { session, logout } = useAuth();
  if (!session) return null;
  return (
    <section aria-labelledby="session-h">
      <h2 id="session-h">
        <Raw text={session.user} /> <span className="tag">{t.roles[session.role]}</span>
      </h2>
      <p className="dim">{t.accounts.may[session.role]}</p>
      <p>
        <button type="button" className="plain" onClick={() => void logout()}>
          {t.login.out}
        </button>
      </p>
    </section>
  );
}

function Look() {
  const t = useT();
  const lang = useLanguage();
  const theme = useTheme();
  return (
    <section aria-labelledby="look-h">
      <h2 id="look-h">{t.settings.look}</h2>
      <div className="filters">
        <div className="filter">
          <label htmlFor="lang">{t.settings.language}</label>
          <select id="lang" value={lang} onChange={(e) => void setLanguage(languages.find((l) => l === e.target.value) ?? "en")}>
            {languages.map((l) => (
              <option key={l} value={l}>
                {t.languages[l]}
              </option>
            ))}
          </select>
        </div>
        <div className="filter">
          <label htmlFor="theme">{t.theme.title}</label>
          <select id="theme" value={theme} onChange={(e) => setTheme(themes.find((x) => x === e.target.value) ?? "system")}>
            {themes.map((x) => (
              <option key={x} value={x}>
                {t.theme[x]}
              </option>
            ))}
          </select>
        </div>
      </div>
    </section>
  );
}

/** Who is told of incidents, and what waits to be told. */
function Alerts() {
  const t = useT();
  const answer = useData<Items<AlertStatus>>("/alerts");
  const test = async (name: string) => {
    try {
      await post(`/alerts/${encodeURIComponent(name)}/test`);
      say(t.alerts.tested);
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
    answer.reload();
  };
  return (
    <section aria-labelledby="alerts-h">
      <h2 id="alerts-h">{t.alerts.title}</h2>
      <Show answer={answer}>
        {(data) =>
          (data.items ?? []).length === 0 ? (
            <p className="dim">{t.alerts.none}</p>
          ) : (
            <ul className="plainlist rows">
              {(data.items ?? []).map((a) => (
                <li key={a.name}>
                  <span>
                    <strong>
                      <Raw text={a.name} />
                    </strong>{" "}
                    <span className="tag">
                      <Raw text={a.type} />
                    </span>{" "}
                    <span className="dim">{t.alerts.counts(number(a.sent), number(a.waiting), number(a.lost + a.expired + a.refused))}</span>
                    {a.error && (
                      <p className="warn">
                        <Raw text={a.error} />
                      </p>
                    )}
                  </span>
                  <Act need="admin" label={`${t.alerts.test}: ${a.name}`} onClick={() => void test(a.name)}>
                    {t.alerts.test}
                  </Act>
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </section>
  );
}

/** The configuration by section: the program's own keys open, and each part and module whose file says something. */
function Effective() {
  const t = useT();
  const answer = useData<Items<Setting>>("/settings");
  const [changed, setChanged] = useState(false);
  return (
    <section aria-labelledby="effective-h">
      <h2 id="effective-h">{t.settings.effective}</h2>
      <p className="dim">{t.settings.effectiveHint}</p>
      <p>
        <label>
          <input type="checkbox" checked={changed} onChange={(e) => setChanged(e.target.checked)} /> {t.settings.changedOnly}
        </label>
      </p>
      <Show answer={answer}>
        {(data) => {
          const shown = (data.items ?? []).filter((s) => !changed || s.from !== "default");
          const sections = new Map<string, Setting[]>();
          for (const s of shown) sections.set(s.section ?? "", [...(sections.get(s.section ?? "") ?? []), s]);
          return shown.length === 0 ? (
            <p className="dim">{t.settings.allDefault}</p>
          ) : (
            [...sections].map(([name, keys]) => (
              <details key={name} open={name === "" || keys.some((s) => s.from !== "default")}>
                <summary>
                  {name ? <Code text={name} /> : t.settings.own} <span className="dim">{t.settings.keys(keys.length, keys.filter((s) => s.from !== "default").length)}</span>
                </summary>
                <Keys name={name || t.settings.own} keys={keys} />
              </details>
            ))
          );
        }}
      </Show>
    </section>
  );
}

function Keys({ name, keys }: { name: string; keys: Setting[] }) {
  const t = useT();
  const value = (s: Setting, v: string) => (v === "" ? <span className="dim">{t.words.none}</span> : s.secret ? t.settings.secretSet : <Code text={v} />);
  return (
    <div className="scroll" role="group" aria-label={name} tabIndex={0}>
      <table className="settings">
        <thead>
          <tr>
            <th scope="col">{t.evidence.key}</th>
            <th scope="col">{t.evidence.value}</th>
            <th scope="col">{t.settings.byDefault}</th>
            <th scope="col">{t.settings.from}</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((s) => (
            <tr key={s.key}>
              <th scope="row">
                <Code text={s.section ? s.key.slice(s.section.length + 1) : s.key} />
              </th>
              <td>{value(s, s.value)}</td>
              <td className="dim">{s.default ? t.settings.same : value(s, s.default_value)}</td>
              <td className={s.from === "default" ? "dim" : undefined}>{t.settings.origins[s.from]}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
