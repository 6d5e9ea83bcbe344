import "../styles/login.css";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { useLocation, useNavigate } from "react-router";
import { ApiError, post } from "../api/client";
import { login as passkeyLogin, supported } from "../api/passkey";
import { languages, setLanguage, useLanguage, useT } from "../i18n";
import { useAuth } from "../parts/session";
import { Raw } from "../parts/text";

/** Where one wanted to go; never another place than this console. */
function wanted(state: unknown): string {
  const from = (state as { from?: unknown } | null)?.from;
  return typeof from === "string" && from.startsWith("/") && !from.startsWith("//") ? from : "/";
}

export default function Login() {
  const t = useT();
  const at = useLocation();
  const navigate = useNavigate();
  const { session, refresh } = useAuth();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const spent = useRef(false);

  const enter = async (how: () => Promise<unknown>) => {
    setBusy(true);
    setError(undefined);
    try {
      await how();
      await refresh();
    } catch (e) {
      setPassword("");
      setError(e instanceof ApiError ? e.message : t.login.passkeyFailed);
    } finally {
      setBusy(false);
    }
  };

  useEffect(() => {
    document.title = `${t.login.title} · ${t.product}`;
  }, [t]);

  // The token works once: it leaves the address bar and the history before it is used.
  useEffect(() => {
    const token = at.hash.slice(1);
    if (!token || spent.current) return;
    spent.current = true;
    window.history.replaceState(null, "", "/login");
    void enter(() => post("/session/link", { token }));
  });

  useEffect(() => {
    if (session && !busy && !at.hash.slice(1)) void navigate(wanted(at.state), { replace: true });
    else if (session && spent.current && !busy) void navigate("/", { replace: true });
  }, [session, busy, at, navigate]);

  const submit = (e: FormEvent) => {
    e.preventDefault();
    void enter(() => post("/session", { name, password }));
  };
  return (
    <main className="login">
      <form onSubmit={submit} aria-busy={busy}>
        <p className="brand">{t.product}</p>
        <h1>{t.login.title}</h1>
        {spent.current && busy && <p role="status">{t.login.byLink}</p>}
        <div className="field">
          <label htmlFor="name">{t.login.name}</label>
          <input id="name" autoComplete="username webauthn" autoCapitalize="none" spellCheck={false} required value={name} onChange={(e) => setName(e.target.value)} />
        </div>
        <div className="field">
          <label htmlFor="password">{t.login.password}</label>
          <input id="password" type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} />
        </div>
        <div role="alert">
          {error && (
            <p className="failed">
              <Raw text={error} />
            </p>
          )}
        </div>
        <button type="submit" className="primary wide" disabled={busy}>
          {busy ? t.words.working : t.login.enter}
        </button>
        {supported() && (
          <button type="button" className="plain wide" disabled={busy} onClick={() => void enter(() => passkeyLogin(name))}>
            {t.login.passkey}
          </button>
        )}
        <p className="dim">{t.login.first}</p>
        <p>
          <code>{t.login.firstCommand}</code>
        </p>
        <p className="dim">{t.login.lockedOut}</p>
        <p>
          <code>{t.login.lockedOutCommand}</code>
        </p>
        <Choice />
      </form>
    </main>
  );
}

function Choice() {
  const t = useT();
  const now = useLanguage();
  const next = languages.find((l) => l !== now) ?? now;
  return (
    <button type="button" className="quiet" lang={next === "zh" ? "zh-CN" : "en"} aria-label={t.words.otherLanguage} onClick={() => void setLanguage(next)}>
      {t.words.otherLanguageShort}
    </button>
  );
}
