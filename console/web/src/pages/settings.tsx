import { useState, type FormEvent } from "react";
import { invalidate, useData } from "../api/cache";
import { ApiError, del, post, put } from "../api/client";
import { register, supported } from "../api/passkey";
import type { AlertStatus, Items, Passkey, Role, Setting, Token } from "../api/types";
import { languages, setLanguage, useLanguage, useT } from "../i18n";
import { Act, Ask } from "../parts/act";
import { number } from "../parts/format";
import { Failed, Page, Show } from "../parts/states";
import { may, useAuth } from "../parts/session";
import { Ago, Code, Copy, Raw } from "../parts/text";
import { setTheme, themes, useTheme } from "../parts/theme";
import { say } from "../parts/toast";

const shortest = 12;

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

function Password() {
  const t = useT();
  const { session, refresh } = useAuth();
  const first = session?.means?.includes("password") === false;
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [error, setError] = useState<ApiError>();
  const save = async (e: FormEvent) => {
    e.preventDefault();
    setError(undefined);
    try {
      await put("/me/password", old ? { current: old, password: next } : { password: next });
      setOld("");
      setNext("");
      await refresh();
      say(t.settings.passwordSaved);
    } catch (err) {
      setError(err instanceof ApiError ? err : new ApiError(0, String(err), ""));
    }
  };
  return (
    <section aria-labelledby="password-h">
      <h2 id="password-h">{t.login.password}</h2>
      <form className="narrow" onSubmit={(e) => void save(e)}>
        <input type="text" autoComplete="username" readOnly hidden value={session?.user ?? ""} />
        {!first && (
          <div className="field">
            <label htmlFor="old">{t.settings.oldPassword}</label>
            <input id="old" type="password" autoComplete="current-password" required value={old} onChange={(e) => setOld(e.target.value)} />
          </div>
        )}
        <div className="field">
          <label htmlFor="new">{t.settings.newPassword}</label>
          <input id="new" type="password" autoComplete="new-password" required minLength={shortest} maxLength={256} value={next} onChange={(e) => setNext(e.target.value)} />
          <p className="dim">{t.settings.passwordHint(shortest)}</p>
        </div>
        {error && <Failed error={error} />}
        <button type="submit" className="primary">
          {t.settings.savePassword}
        </button>
      </form>
    </section>
  );
}

function Passkeys() {
  const t = useT();
  const { refresh } = useAuth();
  const answer = useData<Items<Passkey>>("/me/passkeys");
  const [name, setName] = useState("");
  const [ask, setAsk] = useState(false);
  const [gone, setGone] = useState<Passkey>();
  return (
    <section aria-labelledby="passkeys-h">
      <h2 id="passkeys-h">{t.settings.passkeys}</h2>
      <p className="dim">{t.settings.passkeysHint}</p>
      <Show answer={answer}>
        {(data) => (
          <ul className="plainlist rows">
            {(data.items ?? []).map((p) => (
              <li key={p.id}>
                <span>
                  <Raw text={p.name || p.id.slice(0, 12)} /> <span className="dim"><Ago time={p.created} /></span>
                </span>
                <button type="button" className="plain" aria-label={`${t.settings.remove}: ${p.name ?? p.id}`} onClick={() => setGone(p)}>
                  {t.settings.remove}
                </button>
              </li>
            ))}
          </ul>
        )}
      </Show>
      {supported() ? (
        <button type="button" className="plain" onClick={() => setAsk(true)}>
          {t.settings.addPasskey}
        </button>
      ) : (
        <p className="dim">{t.settings.noPasskeys}</p>
      )}
      {ask && (
        <Ask
          title={t.settings.addPasskey}
          verb={t.settings.addPasskey}
          onClose={() => setAsk(false)}
          run={async () => {
            await register(name.trim());
            invalidate("/me/passkeys");
            await refresh();
          }}
        >
          <div className="field">
            <label htmlFor="pk-name">{t.words.name}</label>
            <input id="pk-name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
          </div>
        </Ask>
      )}
      {gone && (
        <Ask
          title={t.settings.remove}
          verb={t.settings.remove}
          kind="danger"
          onClose={() => setGone(undefined)}
          run={async () => {
            await del(`/me/passkeys/${encodeURIComponent(gone.id)}`);
            invalidate("/me/passkeys");
          }}
        />
      )}
    </section>
  );
}

const roles: Role[] = ["viewer", "analyst", "responder", "admin"];

function Tokens() {
  const t = useT();
  const { session } = useAuth();
  const answer = useData<Items<Token>>("/me/tokens");
  const [ask, setAsk] = useState(false);
  const [gone, setGone] = useState<Token>();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState(90);
  const [secret, setSecret] = useState("");
  return (
    <section aria-labelledby="tokens-h">
      <h2 id="tokens-h">{t.settings.tokens}</h2>
      <p className="dim">{t.settings.tokensHint}</p>
      <div role="status">
        {secret && (
          <p className="verdict good">
            {t.settings.tokenOnce} <Code text={secret} /> <Copy text={secret} label={t.settings.tokens} />
          </p>
        )}
      </div>
      <Show answer={answer}>
        {(data) => (
          <ul className="plainlist rows">
            {(data.items ?? []).map((x) => (
              <li key={x.id}>
                <span>
                  <Raw text={x.name} /> <span className="tag">{t.roles[x.role] ?? x.role}</span>{" "}
                  <span className="dim">
                    {t.suppressions.expires} <Ago time={x.expires} />
                  </span>
                </span>
                <button type="button" className="plain" aria-label={`${t.settings.remove}: ${x.name}`} onClick={() => setGone(x)}>
                  {t.settings.remove}
                </button>
              </li>
            ))}
          </ul>
        )}
      </Show>
      <button type="button" className="plain" onClick={() => setAsk(true)}>
        {t.settings.addToken}
      </button>
      {ask && (
        <Ask
          title={t.settings.addToken}
          verb={t.settings.addToken}
          onClose={() => setAsk(false)}
          run={async () => {
            const made = await post<{ secret: string }>("/me/tokens", { name: name.trim(), role, expires: new Date(Date.now() + days * 86_400_000).toISOString() });
            setSecret(made.secret);
            invalidate("/me/tokens");
          }}
        >
          <div className="field">
            <label htmlFor="tk-name">{t.words.name}</label>
            <input id="tk-name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
          </div>
          <div className="field">
            <label htmlFor="tk-role">{t.accounts.role}</label>
            <select id="tk-role" value={role} onChange={(e) => setRole(roles.find((r) => r === e.target.value) ?? "viewer")}>
              {roles
                .filter((r) => may(session?.role, r))
                .map((r) => (
                  <option key={r} value={r}>
                    {t.roles[r]}
                  </option>
                ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="tk-days">{t.suppressions.expires}</label>
            <select id="tk-days" value={days} onChange={(e) => setDays(Number(e.target.value))}>
              {[7, 30, 90, 365].map((d) => (
                <option key={d} value={d}>
                  {t.units.days(String(d))}
                </option>
              ))}
            </select>
          </div>
        </Ask>
      )}
      {gone && (
        <Ask
          title={t.settings.remove}
          verb={t.settings.remove}
          kind="danger"
          onClose={() => setGone(undefined)}
          run={async () => {
            await del(`/me/tokens/${encodeURIComponent(gone.id)}`);
            invalidate("/me/tokens");
          }}
        />
      )}
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

function Effective() {
  const t = useT();
  const answer = useData<Items<Setting>>("/settings");
  return (
    <section aria-labelledby="effective-h">
      <h2 id="effective-h">{t.settings.effective}</h2>
      <p className="dim">{t.settings.effectiveHint}</p>
      <Show answer={answer}>
        {(data) => (
          <div className="scroll" role="group" aria-label={t.settings.effective} tabIndex={0}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{t.evidence.key}</th>
                  <th scope="col">{t.evidence.value}</th>
                  <th scope="col">{t.settings.from}</th>
                </tr>
              </thead>
              <tbody>
                {(data.items ?? []).map((s) => (
                  <tr key={s.key}>
                    <th scope="row">
                      <Code text={s.key} />
                    </th>
                    <td>{s.secret ? (s.value ? t.settings.secretSet : t.words.none) : <Code text={s.value} />}</td>
                    <td className={s.default ? "dim" : undefined}>{s.default ? t.settings.byDefault : t.settings.byFile}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Show>
    </section>
  );
}
