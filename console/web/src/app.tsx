import { lazy, Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes, useLocation } from "react-router";
import { SessionProvider, useAuth } from "./parts/session";
import { Shell } from "./parts/shell";
import { Failed, Loading } from "./parts/states";

const Login = lazy(() => import("./pages/login"));
const Overview = lazy(() => import("./pages/overview"));
const Incidents = lazy(() => import("./pages/incidents"));
const Incident = lazy(() => import("./pages/incident"));
const Findings = lazy(() => import("./pages/findings"));
const Host = lazy(() => import("./pages/host"));
const Posture = lazy(() => import("./pages/posture"));
const Drills = lazy(() => import("./pages/drills"));
const Playbooks = lazy(() => import("./pages/playbooks"));
const Rules = lazy(() => import("./pages/rules"));
const Suppressions = lazy(() => import("./pages/suppressions"));
const Trail = lazy(() => import("./pages/trail"));
const Accounts = lazy(() => import("./pages/accounts"));
const Settings = lazy(() => import("./pages/settings"));
const Missing = lazy(() => import("./pages/missing"));

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
