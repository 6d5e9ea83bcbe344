import { useId, useRef, useState, useEffect, type FormEvent, type ReactNode } from "react";
import { ApiError } from "../api/client";
import type { Role } from "../api/types";
import { useT } from "../i18n";
import { Icon, type IconName } from "./icons";
import { useAuth } from "./session";
import { Failed } from "./states";
import { say } from "./toast";

export interface ActProps {
  need: Role;
  onClick: () => void;
  children: ReactNode;
  kind?: "primary" | "danger" | "plain" | undefined;
  icon?: IconName;
  label?: string;
  /** Why it cannot be done now, whoever asks. */
  blocked?: string | undefined;
  busy?: boolean;
}

/** A button for those who may: others can reach it and read why it does nothing for them. */
export function Act({ need, onClick, children, kind = "plain", icon, label, blocked, busy }: ActProps) {
  const t = useT();
  const id = useId();
  const { can, session } = useAuth();
  const reason = !can(need) && session ? t.errors.need(t.roles[need], t.roles[session.role]) : blocked;
  const off = reason !== undefined || busy === true;
  return (
    <span className="act">
      <button
        type="button"
        className={kind}
        aria-label={label}
        aria-disabled={off || undefined}
        aria-describedby={reason ? id : undefined}
        onClick={off ? undefined : onClick}
      >
        {reason ? <Icon name="lock" size={16} /> : icon && <Icon name={icon} size={16} />}
        {children}
      </button>
      {reason && (
        <span className="tip" id={id} role="tooltip">
          {reason}
        </span>
      )}
    </span>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/** A modal dialog; the browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const t = useT();
  const id = useId();
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = ref.current;
    if (d && !d.open) d.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby={id} onCancel={onClose} onClose={onClose}>
      <div className="dialoghead">
        <h2 id={id}>{title}</h2>
        <button type="button" className="quiet" aria-label={t.words.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface AskProps {
  title: string;
  /** What the button that does it says. */
  verb: string;
  kind?: "primary" | "danger";
  /** Ask for a reason, which goes into the audit trail. */
  why?: boolean | "optional";
  whyLabel?: string;
  children?: ReactNode;
  /** What to say when it is done. */
  done?: string;
  onClose: () => void;
  run: (why: string) => Promise<unknown>;
}

/** Asks before something is done, and shows the refusal where it was asked. */
export function Ask({ title, verb, kind = "primary", why, whyLabel, children, done, onClose, run }: AskProps) {
  const t = useT();
  const id = useId();
  const [text, setText] = useState("");
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await run(text.trim());
      if (done) say(done);
      onClose();
    } catch (err) {
      setError(err instanceof ApiError ? err : new ApiError(0, String(err), ""));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(e) => void submit(e)}>
        {children}
        {why && (
          <div className="field">
            <label htmlFor={id}>{whyLabel ?? t.words.why}</label>
            <textarea id={id} rows={3} maxLength={2000} required={why === true} value={text} onChange={(e) => setText(e.target.value)} />
            {!whyLabel && <p className="dim">{t.words.whyHint}</p>}
          </div>
        )}
        {error && <Failed error={error} />}
        <div className="buttons">
          <button type="button" className="plain" onClick={onClose}>
            {t.words.cancel}
          </button>
          <button type="submit" className={kind} disabled={busy}>
            {busy ? t.words.working : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
