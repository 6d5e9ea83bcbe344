import { useState, type FormEvent } from "react";
import { invalidate, useData } from "../../api/cache";
import { ApiError, del, post, put } from "../../api/client";
import { register, supported } from "../../api/passkey";
import type { Items, NewToken, Passkey, Role, Token } from "../../api/types";
import { useT } from "../../i18n";
import { Ask } from "../../parts/act";
import { may, useAuth } from "../../parts/session";
import { Failed, Show } from "../../parts/states";
import { Ago, Code, Copy, Raw } from "../../parts/text";
import { say } from "../../parts/toast";

const shortest = 12; // characters, as the agent demands
const roles: Role[] = ["viewer", "analyst", "responder", "admin"];

export function Password() {
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

export function Passkeys() {
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

export function Tokens() {
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
            const made = await post<NewToken>("/me/tokens", { name: name.trim(), role, expires: new Date(Date.now() + days * 86_400_000).toISOString() });
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
