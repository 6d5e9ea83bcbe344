// The words of the agent's answers: generated from its own document, so that a change of it that this console does not know
// fails the build. Where the document says "string" and the agent means one of few, the few stand here.

import type { components } from "./schema";

type S = components["schemas"];

export type Severity = "info" | "low" | "medium" | "high" | "critical";
export type IncidentState = "open" | "contained" | "closed";
export type Role = "viewer" | "analyst" | "responder" | "admin";

type With<T, More> = Omit<T, keyof More> & More;

export type Session = With<S["Session"], { role: Role }>;
export type Subject = S["Subject"];
export type Evidence = S["Evidence"];
export type ProcessKey = S["ProcessKey"];
export type Container = S["Container"];
export type Member = S["Member"];
export type IncidentFinding = With<S["IncidentFinding"], { severity: Severity }>;
export type StoredFinding = With<S["StoredFinding"], { severity: Severity }>;
export type Note = S["Note"];
export type Action = S["Action"];
export type Receipt = S["Receipt"];
export type Incident = With<S["Incident"], { state: IncidentState; severity: Severity; findings: IncidentFinding[] | null }>;
export type IncidentRow = With<S["IncidentRow"], { state: IncidentState; severity: Severity }>;
export type Deadline = S["Deadline"];
export type Step = With<S["Moment"], { severity?: Severity }>;
export type GraphNode = With<S["Node"], { severity?: Severity }>;
export type GraphEdge = S["Edge"];
export type Graph = With<S["Graph"], { nodes: GraphNode[] }>;
export type SensorHealth = S["SensorHealth"];
export type Sensors = S["Sensors"];
export type Overview = With<S["OverviewOut"], { worst: IncidentRow[] }>;
export type Host = S["Host"];
export type Work = S["WorkEvidence"];
export type LiveProcess = S["LiveProcess"];
export type Connection = S["Connection"];
export type PostureCheck = With<S["PostureCheck"], { severity: Severity }>;
export type PostureResult = With<S["PostureResult"], { checks: PostureCheck[] }>;
export type PostureRepair = S["PostureRepair"];
export type ModuleDoc = S["ModuleDoc"];
export type RuleDoc = With<S["RuleDoc"], { severity: Severity }>;
export type DrillDoc = S["DrillDoc"];
export type DrillNews = S["DrillNews"];
export type Setting = S["Setting"];
export type TrailEntry = S["TrailEntry"];
export type TrailVerdict = S["TrailVerdict"];
export type Impact = S["ReportsImpact"];
export type Collection = S["Collection"];
export type Verification = S["Verification"];
export type PlaybookStep = S["PlaybooksStep"];
export type Playbook = With<S["PlaybooksPlaybook"], { trigger?: With<S["PlaybooksTrigger"], { severity?: Severity }> }>;
export type StepRun = S["PlaybooksStepRun"];
export type Run = With<S["PlaybooksRun"], { playbook: Playbook }>;
export type Preview = S["PlaybooksPreview"];
export type Started = With<S["StartOut"], { run?: Run }>;
export type Suppression = S["IncidentsSuppression"];
export type Account = With<S["Account"], { role: Role }>;
export type Token = With<S["Token"], { role: Role }>;
export type NewToken = S["NewToken"];
export type Passkey = S["Passkey"];
export type LoginLink = S["Link"];
export type AlertStatus = S["AlertsStatus"];

export interface Items<T> {
  items: T[] | null;
  next?: string;
}
