import { lazy, Suspense, useEffect } from "react";
import { BrowserRouter, Navigate, Route, Routes, useLocation } from "react-router";
import { SessionProvider, useAuth } from "./parts/session";
import { Shell } from "./parts/shell";
import { Failed, Loading } from "./parts/states";

const load = {
  Login: () => import("./pages/login"),
  Overview: () => import("./pages/overview"),
  Incidents: () => import("./pages/incidents"),
  Incident: () => import("./pages/incident"),
  Findings: () => import("./pages/findings"),
  Host: () => import("./pages/host"),
  Posture: () => import("./pages/posture"),
  Drills: () => import("./pages/drills"),
  Playbooks: () => import("./pages/playbooks"),
  Rules: () => import("./pages/rules"),
  Suppressions: () => import("./pages/suppressions"),
  Trail: () => import("./pages/trail"),
  Accounts: () => import("./pages/accounts"),
  Settings: () => import("./pages/settings"),
  Missing: () => import("./pages/missing"),
};

const Login = lazy(load.Login);
const Overview = lazy(load.Overview);
const Incidents = lazy(load.Incidents);
const Incident = lazy(load.Incident);
const Findings = lazy(load.Findings);
const Host = lazy(load.Host);
const Posture = lazy(load.Posture);
const Drills = lazy(load.Drills);
const Playbooks = lazy(load.Playbooks);
const Rules = lazy(load.Rules);
const Suppressions = lazy(load.Suppressions);
const Trail = lazy(load.Trail);
const Accounts = lazy(load.Accounts);
const Settings = lazy(load.Settings);
const Missing = lazy(load.Missing);

/** Fetches the other pages while nothing else is to do: they open at once, and also when the agent is gone. */
function prefetch(): void {
  for (const f of Object.values(load)) f().catch(() => {}); // it is asked for again when it is needed
}

export function App() {
  return (
    <BrowserRouter>
      <SessionProvider>
        <Gate />
      </SessionProvider>
    </BrowserRouter>
  );
}

/** Nothing is asked for before it is known who asks. */
function Gate() {
  const { session, error, refresh } = useAuth();
  const at = useLocation();
  const known = !!session;
  useEffect(() => {
    if (!known) return;
    const wait = setTimeout(prefetch, 1500);
    return () => clearTimeout(wait);
  }, [known]);
  if (session === undefined) {
    return <main className="alone">{error ? <Failed error={error} retry={() => void refresh()} /> : <Loading />}</main>;
  }
  const login = at.pathname === "/login";
  if (session === null && !login) return <Navigate to="/login" replace state={{ from: at.pathname + at.search }} />;
  if (login) {
    return (
      <Suspense fallback={null}>
        <Login />
      </Suspense>
    );
  }
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route index element={<Overview />} />
        <Route path="incidents" element={<Incidents />} />
        <Route path="incidents/:id" element={<Incident />} />
        <Route path="findings" element={<Findings />} />
        <Route path="host" element={<Host />} />
        <Route path="posture" element={<Posture />} />
        <Route path="drills" element={<Drills />} />
        <Route path="playbooks" element={<Playbooks />} />
        <Route path="rules" element={<Rules />} />
        <Route path="suppressions" element={<Suppressions />} />
        <Route path="audit-trail" element={<Trail />} />
        <Route path="accounts" element={<Accounts />} />
        <Route path="settings" element={<Settings />} />
        <Route path="*" element={<Missing />} />
      </Route>
    </Routes>
  );
}
