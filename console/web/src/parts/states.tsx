import { useEffect, useRef, type ReactNode } from "react";
import { Link } from "react-router";
import type { Answer } from "../api/cache";
import { ApiError } from "../api/client";
import type { Role } from "../api/types";
import { useT } from "../i18n";
import { Icon, type IconName } from "./icons";
import { useAuth } from "./session";
import { Raw } from "./text";

// The first page leaves the focus where the browser has it, so that the first key reaches the link past the menu.
let arrived = false;

/** A page: its heading takes the focus when one comes to it, so that a screen reader says where one is. */
export function Page({ title, heading, tools, children }: { title: string; heading?: ReactNode; tools?: ReactNode; children: ReactNode }) {
  const t = useT();
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · ${t.product}`;
  }, [title, t]);
  useEffect(() => {
    const first = !arrived;
    arrived = true;
    if (!first && (document.activeElement === document.body || document.activeElement?.closest("nav"))) ref.current?.focus({ preventScroll: true });
  }, []);
  return (
    <>
      <div className="pagehead">
        <h1 ref={ref} tabIndex={-1}>
          {heading ?? title}
        </h1>
        {tools && <div className="tools">{tools}</div>}
      </div>
      {children}
    </>
  );
}

export function Loading() {
  const t = useT();
  return (
    <div className="loading" role="status">
      <span className="skeleton" aria-hidden="true" />
      <span className="skeleton" aria-hidden="true" />
      <span className="skeleton" aria-hidden="true" />
      <span className="sr">{t.words.loading}</span>
    </div>
  );
}

export function Empty({ icon = "check", title, children }: { icon?: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} size={28} />
      <p className="emptytitle">{title}</p>
      {children && <div className="dim">{children}</div>}
    </div>
  );
}

/** What went wrong, and what can be done. A refusal is no fault of the program and does not look like one. */
export function Failed({ error, retry }: { error: ApiError; retry?: () => void }) {
  const t = useT();
  const { session } = useAuth();
  if (error.status === 403) {
    return (
      <Empty icon="lock" title={t.errors.forbidden}>
        <p>{session ? t.errors.forbiddenWhy(t.roles[session.role]) : error.detail}</p>
      </Empty>
    );
  }
  if (error.status === 404 || error.status === 501) {
    return (
      <Empty icon="findings" title={error.status === 404 ? t.errors.notFound : t.errors.notOffered}>
        <p>
          <Raw text={error.detail} />
        </p>
        <p>
          <Link to="/">{t.errors.home}</Link>
        </p>
      </Empty>
    );
  }
  return (
    <div className="failed" role="alert">
      <p>
        <strong>
          <Raw text={error.title} />
        </strong>
      </p>
      {error.detail && (
        <p>
          <Raw text={error.detail} />
        </p>
      )}
      {error.more.length > 0 && (
        <ul>
          {error.more.map((m) => (
            <li key={m}>
              <Raw text={m} />
            </li>
          ))}
        </ul>
      )}
      {retry && (
        <button type="button" onClick={retry}>
          {t.words.retry}
        </button>
      )}
    </div>
  );
}

/** Shows an answer, or what there is instead of one. An older answer stays on screen while it is asked again. */
export function Show<T>({ answer, children }: { answer: Answer<T> & { reload: () => void }; children: (data: T) => ReactNode }) {
  if (answer.data === undefined) {
    if (answer.error) return <Failed error={answer.error} retry={answer.reload} />;
    return <Loading />;
  }
  return (
    <>
      {answer.error && <Failed error={answer.error} retry={answer.reload} />}
      {children(answer.data)}
    </>
  );
}

/** Says once for a part of a page that its buttons are for others. */
export function NeedNote({ need }: { need: Role }) {
  const t = useT();
  const { can, session } = useAuth();
  if (can(need) || !session) return null;
  return (
    <p className="neednote">
      <Icon name="lock" size={16} /> {t.errors.need(t.roles[need], t.roles[session.role])}
    </p>
  );
}
