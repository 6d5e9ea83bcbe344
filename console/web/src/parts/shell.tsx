import { Suspense, useEffect, useRef, useState } from "react";
import { Link, NavLink, Outlet, useLocation } from "react-router";
import { useData } from "../api/cache";
import { useLink, listen } from "../api/events";
import type { Overview } from "../api/types";
import { languages, setLanguage, useLanguage, useT } from "../i18n";
import { Icon } from "./icons";
import { Keys } from "./keys";
import { places, type Place } from "./places";
import { useSaid } from "./rules";
import { useAuth } from "./session";
import { Loading } from "./states";
import { Raw } from "./text";
import { cycleTheme, useTheme } from "./theme";
import { say, Toasts } from "./toast";
import { Boundary } from "./boundary";

const groups: Place["group"][] = ["now", "work", "keep"];

/** What surrounds every page: the way round, who one is, and whether the page is live. */
export function Shell() {
  const t = useT();
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  useNews();
  return (
    <>
      <a className="skip" href="#main">
        {t.words.skip}
      </a>
      <div className={open ? "shell open" : "shell"}>
        <header className="top">
          <button type="button" className="quiet menu" aria-expanded={open} aria-controls="nav" aria-label={t.words.menu} onClick={() => setOpen(!open)}>
            <Icon name={open ? "close" : "menu"} />
          </button>
          <Link to="/" className="brand">
            {t.product}
          </Link>
          <Policy />
          <LinkMark />
          <span className="grow" />
          <Languages />
          <Theme />
          <Person />
        </header>
        <nav id="nav" className="side" aria-label={t.words.menu} onKeyDown={(e) => e.key === "Escape" && setOpen(false)}>
          <Places />
        </nav>
        <main id="main" tabIndex={-1}>
          <Means />
          <Boundary key={pathname}>
            <Suspense fallback={<Loading />}>
              <Outlet />
            </Suspense>
          </Boundary>
        </main>
      </div>
      <Toasts />
      <Keys />
    </>
  );
}

/** Who came by a link has no other way in yet. */
function Means() {
  const t = useT();
  const { session } = useAuth();
  const { pathname } = useLocation();
  if (session?.means?.length !== 0) return null;
  return (
    <p className="verdict warnbox means">
      <strong>{t.login.noMeans}</strong> {t.login.noMeansHint} {pathname !== "/settings" && <Link to="/settings">{t.nav.settings}</Link>}
    </p>
  );
}

function Places() {
  const t = useT();
  const { can } = useAuth();
  const { data } = useData<Overview>("/overview");
  const open = Object.values(data?.counts.open ?? {}).reduce((a, b) => a + b, 0);
  return groups.map((group) => (
    <ul key={group}>
      {places
        .filter((p) => p.group === group && (!p.need || can(p.need)))
        .map((p) => (
          <li key={p.to}>
            <NavLink to={p.to} end={p.to === "/"}>
              <Icon name={p.name} />
              <span>{t.nav[p.name]}</span>
              {p.name === "incidents" && open > 0 && (
                <span className="count">
                  {open}
                  <span className="sr"> {t.state.open}</span>
                </span>
              )}
            </NavLink>
          </li>
        ))}
    </ul>
  ));
}

/** What the agent may do without asking: the first thing to know of a machine at night. */
function Policy() {
  const t = useT();
  const { data } = useData<Overview>("/overview");
  const policy = data?.respond;
  if (!policy) return null;
  return (
    <span className={`policy policy-${policy}`} title={t.policy.why[policy] ?? policy}>
      <span className="sr">{t.policy.title} </span>
      {t.policy.name[policy] ?? policy}
    </span>
  );
}

function LinkMark() {
  const t = useT();
  const link = useLink();
  return (
    <span className={`link link-${link}`} role="status" title={t.link.why[link]}>
      <span className="dot" aria-hidden="true" />
      <span className="linkword">{t.link.name[link]}</span>
    </span>
  );
}

function Languages() {
  const t = useT();
  const now = useLanguage();
  const next = languages.find((l) => l !== now) ?? now;
  return (
    <button type="button" className="quiet" lang={next === "zh" ? "zh-CN" : "en"} aria-label={t.words.otherLanguage} onClick={() => void setLanguage(next)}>
      {t.words.otherLanguageShort}
    </button>
  );
}

function Theme() {
  const t = useT();
  const theme = useTheme();
  return (
    <button type="button" className="quiet theme" aria-label={t.theme.label(t.theme[theme])} title={t.theme.label(t.theme[theme])} onClick={cycleTheme}>
      <Icon name="theme" />
    </button>
  );
}

function Person() {
  const t = useT();
  const { session, logout } = useAuth();
  if (!session) return null;
  return (
    <span className="person">
      <Link to="/settings" title={t.nav.settings}>
        <Raw text={session.user} />
        <span className="dim role"> {t.roles[session.role]}</span>
      </Link>
      <button type="button" className="quiet" onClick={() => void logout()}>
        {t.login.out}
      </button>
    </span>
  );
}

/** Says new incidents aloud, wherever one is. */
function useNews() {
  const t = useT();
  const said = useSaid();
  const saying = useRef(said);
  useEffect(() => {
    saying.current = said;
  }, [said]);
  useEffect(() => {
    const told = new Set<string>();
    return listen("incident", (data) => {
      const inc = data as { id?: string; title?: string; rules?: string[]; state?: string; severity?: string; opened?: string; updated?: string } | undefined;
      if (!inc?.id || told.has(inc.id) || inc.state !== "open") return;
      told.add(inc.id);
      if (inc.severity === "info" || inc.severity === "low") return;
      if (inc.opened && Date.now() - new Date(inc.opened).getTime() > 120_000) return; // it changed, it is not new
      say(t.incidents.news(saying.current(inc.rules?.[0], "title", inc.title ?? inc.id)));
    });
  }, [t]);
}
