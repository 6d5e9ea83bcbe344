// The words of the agent's answers. Names are those of the Go types.

export type Severity = "info" | "low" | "medium" | "high" | "critical";
export type IncidentState = "open" | "contained" | "closed";
export type Role = "viewer" | "analyst" | "responder" | "admin";

export interface Session {
  user: string;
  role: Role;
  csrf?: string;
  expires?: string;
  /** How this account can log in; none: it has only its link. */
  means?: string[];
}

export interface Subject {
  type: string;
  id: string;
  name?: string;
  pid?: number;
  host?: string;
  client?: string;
  server?: string;
  line?: number;
}

export interface Evidence {
  key: string;
  value: string;
}

export interface ProcessKey {
  boot?: string;
  pid: number;
  start: number;
}

export interface Container {
  runtime?: string;
  id?: string;
  pod?: string;
}

export interface Member {
  key: ProcessKey;
  parent?: ProcessKey;
  name: string;
  exe?: string;
  args?: string[];
  container?: Container;
  cgroup?: string;
  sha256?: string;
  package?: string;
  since?: string;
  exited?: string;
  severity?: Severity;
  before?: boolean;
  weak?: boolean;
}

export interface IncidentFinding {
  time: string;
  last: string;
  count: number;
  rule: string;
  title: string;
  severity: Severity;
  technique?: string[];
  confidence: number;
  subject: Subject;
  lineage?: string;
  evidence: Evidence[] | null;
  advice?: string;
}

export interface Note {
  time: string;
  who: string;
  text: string;
}

export interface Action {
  id: string;
  responder: string;
  op: string;
  incident?: string;
  target: Subject;
  summary: string;
  blast?: string[];
  refused?: string[];
  reversible: boolean;
  params?: Record<string, string>;
}

export interface Receipt {
  action: Action;
  started: string;
  done: string;
  who: string;
  why: string;
  ok: boolean;
  result: string;
  undone?: string;
  undone_by?: string;
}

export interface Incident {
  id: string;
  subject: Subject;
  state: IncidentState;
  severity: Severity;
  score: number;
  opened: string;
  updated: string;
  changed?: string;
  host?: string;
  members?: Member[];
  findings: IncidentFinding[] | null;
  actions?: Receipt[];
  notes?: Note[];
  more?: number;
  assignee?: string;
}

export interface IncidentRow {
  id: string;
  subject: Subject;
  state: IncidentState;
  severity: Severity;
  score: number;
  opened: string;
  updated: string;
  host?: string;
  title: string;
  findings: number;
  rules?: string[] | null;
  assignee?: string;
  actions?: number;
  deadline?: Deadline | string;
}

export interface Deadline {
  incident?: string;
  what: string;
  due: string;
  state: string;
}

export interface Step {
  time: string;
  kind: string;
  title: string;
  detail?: string;
  severity?: Severity;
  ref?: string;
}

export interface GraphNode {
  id: string;
  kind: string;
  label: string;
  detail?: string;
  severity?: Severity;
  member?: boolean;
  ended?: boolean;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  more?: number;
}

export interface GraphEdge {
  from: string;
  to: string;
  label?: string;
}

export interface Items<T> {
  items: T[] | null;
  next?: string;
}

export interface SensorHealth {
  name: string;
  state: string;
  reason?: string;
  events: number;
  dropped: number;
}

export interface Overview {
  counts: Record<string, Record<string, number>>;
  worst: IncidentRow[];
  deadlines: Deadline[];
  stolen: { cpu_seconds: number; kwh: number; cost: number; currency: string; since?: string; model?: string };
  posture?: { score: number; scored: boolean; failed: number; at: string };
  sensors: SensorHealth[];
  lost: { events: number; total: number };
  respond: string;
  host: string;
  version: string;
}

export interface Host {
  name: string;
  this: boolean;
  os?: string;
  kernel?: string;
  arch?: string;
  cpus: number;
  booted?: string;
  since?: string;
  version?: string;
  busy: number[];
}

export interface Work {
  near: number;
  down: number;
  up: number;
  zero: number;
  samples: number;
  anon_samples: number;
  anon_exec: number;
  huge: number;
  regions: number[];
  wx: number;
  tuned: string[];
}

export interface LiveProcess {
  key: ProcessKey;
  id: string;
  name: string;
  exe?: string;
  args: string[];
  uid: number;
  lineage?: string;
  package?: string;
  sha256?: string;
  container?: Container;
  started?: string;
  seen: string;
  cpu: number;
  cpu_seconds: number;
  rss: number;
  tasks: number;
  nice?: number;
  gpu?: number;
  work?: Work;
  incident?: string;
}

export interface Connection {
  proto: string;
  local?: string;
  remote: string;
  name?: string;
  process?: string;
  key?: ProcessKey;
  result?: string;
  app?: string;
  out: number;
  in: number;
  first: string;
  last: string;
  matches: string[];
  incident?: string;
}

export interface Sensors {
  items: SensorHealth[];
  detectors: { name: string; findings: number; off?: string }[];
  lost: { events: number; total: number };
  store: { incidents: number; unsaved: number; suppressed: number; error?: string };
  host: string;
}

export interface PostureCheck {
  id: string;
  title: string;
  severity: Severity;
  status: string;
  passed: boolean;
  target: string;
  product: string;
  subject?: string;
  evidence: string;
  why?: string;
  advice?: string;
  repair?: string;
  references: string[];
  fixable: boolean;
}

export interface PostureResult {
  score: number;
  scored: boolean;
  failed: number;
  at: string;
  running: boolean;
  checks: PostureCheck[];
  errors: string[];
  history: { at: string; score: number }[];
}

export interface PostureRepair {
  id: string;
  path: string;
  summary: string;
  rules: string[];
  diff: string;
  error?: string;
}

export interface ModuleDoc {
  catalogue: string;
  name: string;
  title: string;
  doc?: string;
  rules: number;
  disabled?: boolean;
}

export interface RuleDoc {
  id: string;
  title: string;
  severity: Severity;
  technique: string[];
  advice?: string;
  why?: string;
  references: string[];
  module: string;
}

export interface DrillNews {
  drill: string;
  state: string;
  who?: string;
  began: string;
  rule?: string;
  after?: number;
  error?: string;
}

export interface DrillDoc {
  name: string;
  title: string;
  technique: string[];
  rules: string[];
  last?: DrillNews;
}

export interface Setting {
  key: string;
  value: string;
  default: boolean;
  secret?: boolean;
}

export interface TrailEntry {
  seq: number;
  time: string;
  who: string;
  what: string;
  target?: string;
  why?: string;
  detail?: Record<string, string>;
  hash: string;
}

export interface PlaybookStep {
  id: string;
  title: string;
  description?: string;
  kind: string;
  action?: { responder: string; op: string; target?: string };
  timeout?: string | number;
  on_failure?: string;
  deadline?: string | number;
  meets?: string;
}

export interface Playbook {
  name: string;
  title: string;
  description?: string;
  technique?: string[];
  trigger?: { rules?: string[]; programs?: string[]; severity?: Severity; score?: number; start?: string };
  deadlines?: { isolated?: string | number; report?: string | number; review?: string | number };
  steps: PlaybookStep[];
}

export interface StepRun {
  id: string;
  state: string;
  note?: string;
  started?: string;
  ended?: string;
  shown?: Action[];
  actions?: { attempt: number; action: Action; receipt?: Receipt; error?: string }[];
  decisions?: { time: string; who: string; decision: string; note?: string }[];
  due?: string;
}

export interface Run {
  id: string;
  incident: string;
  playbook: Playbook;
  state: string;
  who: string;
  why?: string;
  auto?: boolean;
  started: string;
  ended?: string;
  next: number;
  steps: StepRun[];
}

export interface Account {
  name: string;
  role: Role;
  disabled?: boolean;
  password: boolean;
  passkeys: number;
  tokens: number;
  sessions: number;
  locked?: string;
  created: string;
  seen?: string;
}

export interface Token {
  id: string;
  name: string;
  role: Role;
  created: string;
  expires: string;
  used?: string;
}

export interface Passkey {
  id: string;
  name?: string;
  created: string;
  used?: string;
}

export interface Suppression {
  id: string;
  subject?: string;
  sha256?: string;
  package?: string;
  rule?: string;
  path?: string;
  reason: string;
  who: string;
  even_critical?: boolean;
  created: string;
  expires: string;
  count: number;
  last?: string;
  spared?: number;
  ended?: string;
  ended_by?: string;
}

export interface LoginLink {
  account: string;
  token: string;
  expires: string;
}
