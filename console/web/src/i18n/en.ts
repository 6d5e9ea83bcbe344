// Every sentence of the console in English; zh.ts must have the same. Maps by words of the agent are Terms: a word that is not in
// them is shown as it is.

type Terms = Record<string, string>;

const s = (n: number) => (n === 1 ? "" : "s");

export const en = {
  product: "minewarden",
  languages: { en: "English", zh: "简体中文" },
  words: {
    about: "About", actions: "Actions", cancel: "Cancel", close: "Close", copied: "Copied", copy: "Copy", diff: "Difference", host: "Host",
    incident: "Incident", loading: "Loading…", menu: "Menu", name: "Name", never: "never", nobody: "nobody", none: "none", pid: "PID",
    otherLanguage: "切换到简体中文", otherLanguageShort: "中文", reload: "Load the page again", retry: "Try again", rule: "Rule", severity: "Severity",
    skip: "Skip to the content", state: "State", sure: "How sure", time: "Time", unknown: "unknown", updated: "Updated", why: "Why",
    whyHint: "Kept in the audit trail.", working: "Working…",
    rows: (n: string, count: number) => `${n} row${s(count)}`,
    rowsSoFar: (n: string) => `${n} rows so far; more come as you scroll`,
  },
  units: {
    seconds: (n: string) => `${n} s`, minutes: (n: string) => `${n} min`, hours: (n: string) => `${n} h`,
    days: (n: string) => `${n} day${n === "1" ? "" : "s"}`, kwh: (n: string) => `${n} kWh`,
  },
  nav: {
    overview: "Overview", incidents: "Incidents", findings: "Findings", host: "Host", posture: "Posture", drills: "Drills", playbooks: "Playbooks",
    rules: "Rules and detectors", suppressions: "Suppressions", trail: "Audit trail", accounts: "Accounts", settings: "Settings",
  },
  severity: { info: "info", low: "low", medium: "medium", high: "high", critical: "critical" },
  state: { open: "open", contained: "contained", closed: "closed" },
  roles: { viewer: "viewer", analyst: "analyst", responder: "responder", admin: "admin" },
  sure: { certain: "almost certain", very: "very likely", likely: "likely", possible: "possible" },
  subjects: {
    process: "process", container: "container", flow: "connection", file: "file", url: "address", host: "host", service: "service", account: "account",
  } as Terms,
  ops: {
    freeze: "Freeze", thaw: "Thaw", kill: "Kill", quarantine: "Quarantine", block: "Block", isolate: "Isolate the host", release: "Release",
    repair: "Repair", offline: "Cut its network", collect: "Collect evidence", "stop-job": "Stop the job", "stop-container": "Stop the container",
    "pause-container": "Pause the container", "remove-container": "Remove the container", "disable-hook": "Disable the hook", "disable-cron": "Disable the cron line",
    "disable-unit": "Disable the unit", "remove-preload": "Remove the preload line", "remove-key": "Remove the login key", "clean-profile": "Clean the profile",
    "deregister-service": "Deregister the service", "deregister-check": "Deregister the check", "expire-password": "Expire the password", "lock-account": "Lock the account",
    "revoke-key": "Revoke the key", "clean-known-hosts": "Clean known_hosts", "rotate-credentials": "List what to rotate", "restore-file": "Restore the file",
    "verify-package": "Verify the package", "check-service": "Check the service",
  } as Terms,
  policy: {
    title: "Policy:",
    name: { observe: "observe", contain: "contain", kill: "kill" } as Terms,
    why: {
      observe: "It watches and tells; it touches nothing without you.",
      contain: "It freezes what is high or critical and at least 90 % sure.",
      kill: "It freezes, then kills what is high or critical and at least 90 % sure.",
    } as Terms,
  },
  link: {
    name: { off: "off", connecting: "connecting", live: "live", lost: "not live" },
    why: {
      off: "Nothing is told live.", connecting: "Connecting to the agent.", live: "Changes appear by themselves.",
      lost: "The agent does not answer: what you see may be old.",
    },
  },
  theme: { title: "Appearance", system: "as the system", light: "light", dark: "dark", label: (now: string) => `Appearance: ${now}. Change` },
  keys: {
    title: "Keyboard", help: "show this", search: "search on this page", rows: "move between rows of a list", on: "Single keys are shortcuts",
  },
  errors: {
    unreachable: "The agent does not answer", unreachableWhy: "It may be starting, stopped, or out of reach. The page tries again by itself.",
    status: (n: number) => `The agent answered with status ${n}`, notJson: "The answer is not what the console understands.",
    forbidden: "This is not for your role", forbiddenWhy: (role: string) => `You are logged in as ${role}. An admin can give you another role.`,
    need: (role: string, mine: string) => `Needs the role ${role}; yours is ${mine}.`,
    notFound: "There is nothing here", noPage: "There is no such page", notOffered: "This agent does not offer it", home: "Go to the overview",
    fault: "This page failed",
  },
  login: {
    title: "Log in", name: "Name", password: "Password", enter: "Log in", passkey: "Log in with a passkey", passkeyFailed: "The passkey was not accepted, or you cancelled.",
    byLink: "Logging in by your link…", out: "Log out", first: "First time? When it starts, minewarden prints a link that lets you in once. Where it runs as a service:",
    firstCommand: "journalctl -u minewarden -g login", lockedOut: "Locked out? On the machine itself, as root:", lockedOutCommand: "minewarden account link NAME",
    noMeans: "You came by a link that works once.", noMeansHint: "Set a password or add a passkey now, or you will not get in again.",
  },
  filters: {
    any: "any", atLeast: "At least", clear: "Clear filters", nothing: "Nothing matches", nothingHint: "Take a filter away to see more.",
    since: "Updated since", text: "Search",
    spans: [["1h", "an hour ago"], ["24h", "a day ago"], ["168h", "a week ago"], ["720h", "30 days ago"]] as [string, string][],
  },
  overview: {
    bad: (n: string, c: number, others: string) => `${n} open incident${s(c)} of high severity or worse: somebody may be mining here now.${others === "0" ? "" : ` ${others} lower.`}`,
    some: (n: string, c: number) => `${n} open incident${s(c)}, none of them high.`,
    good: "No open incident.",
    watching: (n: number) => `${n} sensor${s(n)} watch${n === 1 ? "es" : ""} this machine.`,
    blind: (n: number) => `${n} sensor${s(n)} cannot look at the moment: quiet does not mean safe.`,
    open: "Open incidents", others: (contained: string, closed: string) => `${contained} contained, ${closed} closed`,
    stolen: "CPU time stolen this month", score: (n: string) => `${n} / 100`, failed: (n: string, c: number) => `${n} check${s(c)} failed`,
    noAudit: "No audit yet", events: "Events seen", lost: (n: string, p: string) => `${n} lost (${p})`, noneLost: "none lost",
    worst: "Worst now", all: "All open incidents", findings: (n: string, c: number) => `${n} finding${s(c)}`,
    alike: "More like this", tryDrill: "To see how one looks, run a drill: it is harmless.", deadlines: "Deadlines", moreDeadlines: (n: string) => `and ${n} more`, noDeadlines: "No deadline is running.", sensors: "Sensors",
  },
  deadlines: {
    what: { isolate: "Isolate", isolated: "Isolate", report: "Report", review: "Review" } as Terms,
    left: (d: string) => `${d} left`, over: (d: string) => `${d} late`, met: "met", made: "Mark as made",
  },
  incidents: {
    what: "What", assignee: "Assigned to", deadline: "Deadline", none: "No incidents", noneHint: "That is how it should be. The agent keeps looking.",
    news: (title: string) => `New incident: ${title}`,
  },
  findings: { claim: "Claim", count: "Times", last: "Last seen", none: "No findings" },
  incident: {
    onPage: "On this page", back: "It came back.", related: "Has to do with:", id: "Incident id", subject: (kind: string) => kind, opened: "Opened", take: "Assign to me", unassign: "Give it back",
    close: "Close", reopen: "Open again", print: "Print",
    closeHint: "A new finding about the same subject opens it again.", was: "What it was", verdicts: { true_positive: "an attack", false_positive: "a false alarm", authorised: "wanted by us" }, closed: "The incident is closed.", reopened: "The incident is open again.",
    parts: {
      answers: "In short", story: "Story", evidence: "Evidence", lineage: "Lineage", actions: "Actions", runs: "Playbooks", notes: "Notes", impact: "Impact", reports: "Reports",
    },
  },
  answers: {
    what: "What happened", sure: "How sure", done: "What was done", undo: "How to undo it", next: "What next",
    times: (n: string) => `(${n} times)`, more: (n: string) => `and ${n} more kinds of findings below`, lineage: "Started as",
    alive: (n: string, c: number) => `${n} of its processes still run${c === 1 ? "s" : ""}.`,
    kinds: (n: number, names: string) => `${n} independent kind${s(n)} of evidence: ${names}`,
    book: (title: string) => `Playbook: ${title}`, bookWaits: "waits for you", nothingDone: "Nothing yet.", nothingHolds: "What was done has been taken back.", by: (who: string) => `by ${who}`,
    noUndo: "What was done cannot be taken back.", nothingToUndo: "There is nothing to undo.", undoOf: (op: string) => `Undo: ${op}`,
    nextClosed: "Nothing: it is closed. A new finding opens it again.", nextContained: "Its processes do no more harm. Find how they came in, then close.",
  },
  actions: {
    noneDone: "Nothing was done yet.", plan: "What could be done", impossible: (n: number) => `Refused, with the reason (${n})`, noPlan: "No responder has anything to do here.", blast: (n: number) => `What it touches (${n})`,
    target: "Target", touches: "It touches:", leaves: "It leaves alone:", reversible: "It can be undone.", final: "It cannot be undone.",
    result: "Result", holds: "in force", undone: "taken back", failed: "failed", undo: "Undo", undoneBy: "Taken back by",
    doIt: (op: string) => `${op} now`, wasDone: (op: string) => `Done: ${op}`, wasUndone: (op: string) => `Taken back: ${op}`,
    undoHint: "It is taken back exactly; what is wrong may go on.",
  },
  story: {
    show: "Show in the story", none: "Nothing to tell.", rest: (n: number) => `Show the other ${n}`,
    kinds: {
      posture: "weakness", login: "login", process: "process", file: "file", network: "network", finding: "finding", action: "action", state: "state", note: "note",
    },
  },
  evidence: {
    values: "What was measured", key: "Name", value: "Value", why: "Why it matters", advice: "What to do", lineage: "Lineage", seen: "Seen",
    times: (n: string, c: number) => `${n} time${s(c)}`, first: "first", last: "last",
    meaning: "Calibrated: of claims at 90 %, nine in ten were true.", more: (n: string) => `${n} more findings were counted, not kept.`,
  },
  lineage: {
    none: "No process is known.", picture: "Lineage, drawn", list: "The same as a list", more: (n: number) => `${n} more are not drawn.`,
    described: (nodes: number, edges: number) => `${nodes} processes, files and connections with ${edges} links; the list below says the same.`,
    ended: "ended", runs: "runs", member: "accused", members: (n: number) => `Processes of the incident (${n})`,
    verbs: { started: "started", runs: "runs", did: "did", "talked to": "talked to", "has to do with": "has to do with" } as Terms,
  },
  runs: {
    none: "No playbook is at work.", preview: "What would happen",
    would: { run: "would be done", wait: "would wait for you", skip: "would be skipped", refuse: "would be refused", fail: "would fail" } as Terms, choose: "Start a playbook", chooseFirst: "Choose a playbook first.", start: "Start", dry: "Dry run",
    dryHint: "Shows each step and does nothing.", startHint: "Steps by approval and by hand wait for you.",
    states: { proposed: "proposed", running: "running", waiting: "waits for you", done: "done", failed: "failed", refused: "refused" } as Terms,
    stepStates: {
      pending: "to come", waiting: "waits for you", approved: "approved", doing: "under way", done: "done", skipped: "skipped", refused: "refused", failed: "failed", timeout: "took too long",
    } as Terms,
    verbs: { approve: "Approve", refuse: "Refuse", done: "It is done" },
    decided: { approve: "approved", refuse: "refused", done: "did it" } as Terms,
  },
  notes: { none: "No notes.", add: "Add a note", save: "Save the note" },
  impact: {
    cpu: "CPU time", energy: "Energy", cost: "Energy cost", rented: "If rented", share: "Of all CPU time", slowdown: "Others waited", sources: "Where this comes from",
    slowdownHint: (p: string) => `in ${p} of that time something waited for a CPU`, notMeasured: "Not measured: its processes ended before, or it is no process.",
    energyFrom: { rapl: "Energy: measured by the processor (RAPL).", model: "Energy: a model, for this machine does not measure it:" } as Terms,
    model: (w: string) => `${w} W for each busy CPU above idle.`, prices: (kwh: string, hour: string) => `Prices: ${kwh} a kWh, ${hour} an hour of a CPU.`,
  },
  reports: { kinds: { incident: "Incident report", review: "72-hour review" }, monthly: "Figures of this month" },
  kept: {
    title: "Collected evidence", none: "None yet. Collect it before anything is killed.", collect: "Collect evidence", begun: "Evidence was collected.", verify: "Verify",
    whole: "unchanged", broken: "CHANGED:", states: { sealed: "sealed", open: "being collected", unreadable: "unreadable" }, holds: (n: number, size: string) => `${n} part${s(n)}, ${size}`,
    skipped: (n: number) => `${n} not read`, memory: "Memory",
    memories: { exec: "executable memory", whole: "all memory, to a limit", none: "no memory" },
  },
  host: {
    system: "System", cpus: "CPUs", booted: "Booted", since: "Watched since", version: "minewarden", busy: "CPU use, all processes",
    busyLabel: (now: string, span: string) => `CPU use over ${span} seconds; now ${now}`,
    processes: "Processes by CPU", processesHint: "Choose a name to see what was measured of it.", cpu: "CPU", total: "CPU time", memory: "Memory", work: "Speaks for mining", origin: "Comes from",
    nameless: "without a name", unpackaged: "no package", kernel: "kernel", open: "open", command: "Command", program: "Program", sha256: "SHA-256", started: "Started", user: "User",
    userOf: (uid: number, tasks: number, nice: number) => `uid ${uid} · ${tasks} thread${s(tasks)} · nice ${nice}`,
    connections: "Connections", noConnections: "No connection was seen.", process: "Process", remote: "Remote", protocol: "Protocol", sent: "Sent", received: "Received", matches: "Known bad", last: "Last", times: (n: number) => `× ${n}`,
  },
  work: {
    title: "Evidence of proof of work", none: "Nothing was measured of it that speaks for proof of work.",
    modes: (n: number) => `${n} rounding modes`, generated: (p: string) => `${p} in generated code`, huge: (b: string) => `${b} huge pages`,
    rounding: "Rounding modes seen", roundingOf: (near: string, down: string, up: string, zero: string) => `near ${near} · down ${down} · up ${up} · zero ${zero}`,
    samples: "Code samples", samplesOf: (anon: string, all: string) => `${anon} of ${all} in code of no file`,
    anonExec: "Generated code", hugePages: "Huge pages", regions: "Largest regions", flips: "Written, then run", tuned: "Asked of the kernel",
    meaning: "Ordinary programs round to nearest. RandomX switches between four modes in generated code beside 2 GiB of scratch memory.",
  },
  sensors: {
    states: { running: "on", waiting: "waits", unsupported: "off" } as Terms,
    dropped: (n: string) => `${n} lost`, events: "Events", lost: "Lost", unsaved: (n: string) => `${n} incidents are not saved:`, detectors: (n: number) => `${n} detectors and their findings`,
  },
  posture: {
    run: "Audit now", running: "Auditing…", begun: "The audit has begun.", firstHint: "The first audit begins by itself soon after the start.", of: "of 100", at: "Audited",
    trend: "Score over time", trendLabel: (from: string, to: string) => `Score over time, from ${from} to ${to}`, notLooked: "Could not be looked at:",
    status: "Answer", product: "Of", statuses: { fail: "failed", possible: "possibly", unknown: "could not look", pass: "passed", not_applicable: "does not apply" },
    shown: (n: string, c: number) => `${n} check${s(c)}`, none: "No such checks", fixable: "can be repaired", proof: "How it is known", target: "Where", fix: "Repair",
    fixed: "Repaired.", fixHint: "This change is made, with a backup of the file; it can be undone exactly.", cannot: "Cannot be repaired", repaired: "Repaired by minewarden",
  },
  drills: {
    what: "A drill behaves like an attack and harms nothing. It proves on this machine that the attack would be seen, and after how long.",
    run: "Run", running: "Running…", begun: "The drill has begun.", harmless: "It runs on this machine for some seconds, uses some CPU, and cleans up. It may open an incident.",
    rules: (n: number) => `Rules that may see it (${n})`, never: "Not run since the start.", seen: (n: string) => `Seen after ${n} s`, since: (n: string) => `Running for ${n} s`, by: "by",
    incidents: "incidents", states: { running: "running", seen: "seen", missed: "MISSED", failed: "could not run", unsupported: "not on this host" } as Terms,
  },
  playbooks: {
    what: "What to do in which order, by whom and until when. They are started from an incident.", none: "No playbooks",
    steps: (n: number) => `${n} step${s(n)}`, trigger: "Meant for", starts: { automatic: "starts by itself", propose: "is proposed", manual: "is started by hand" } as Terms,
    kinds: { automatic: "automatic", approval: "by approval", manual: "by hand" } as Terms,
  },
  rules: {
    catalogue: "Part", catalogues: { detectors: "Detectors", audits: "Audits", sensors: "Sensors", responders: "Responders" }, modules: "How it works, and what it misses", rules: "Rules",
    misses: "What it misses", heading: "What it misses", off: "off", count: (n: string, c: number) => `${n} rule${s(c)}`, module: "Module", references: "References", firstOf: (n: string, all: string) => `The first ${n} of ${all}; search to find others.`,
  },
  suppressions: {
    what: "What you know to be wanted is not told again, until the day you set. What was held back is counted.", none: "Nothing is suppressed", add: "Suppress", added: "It will not be told again.",
    addHint: "Be as exact as you can: a hash is safer than a name.", kind: "By", value: "Value", ruleOnly: "Only this rule (empty: every rule)", expires: "Ends", taken: "Held back", end: "End",
    ended: "It will be told again.", endHint: "Findings like these are told again from now on.", by: { subject: "subject", sha256: "SHA-256", package: "package", path: "path" }, evenCritical: "Hide critical findings, too", spared: (n: string) => `${n} critical were told all the same`,
    past: (n: number) => `Ended (${n})`,
  },
  trail: {
    what: "Every change that anybody made, chained by hash: a line that is altered or taken away breaks the chain.", none: "No entries", verify: "Verify", whole: (n: string) => `Whole: ${n} entries, none altered.`,
    broken: "BROKEN:", seq: "No.", who: "Who", did: "Did", hash: "Hash", older: "Show older",
  },
  accounts: {
    add: "Add an account", added: "The account is there.", you: "(you)", role: "Role", roles: "Roles", proofs: "Logs in with", seen: "Last login", active: "active", disabled: "disabled", locked: "locked",
    passkeys: (n: number) => `${n} passkey${s(n)}`, tokens: (n: number) => `${n} token${s(n)}`, changed: "Changed.",
    verbs: { role: "Change role", unlock: "Unlock", reset: "Reset login", disable: "Disable", enable: "Enable", remove: "Remove" },
    resetHint: "Its password, passkeys, tokens and sessions end. You get a link that lets its owner in again.", unlockHint: "Passwords can be tried again at once.",
    addHint: "You get a link to hand to its owner. It works once, within a day.", link: (name: string) => `Hand this link to ${name}; it is shown once and works once:`,
    disableHint: "Its sessions and tokens end at once.", removeHint: "Its sessions and tokens end at once. What it did stays in the audit trail.",
    may: {
      viewer: "Reads everything but settings, accounts and the audit trail.", analyst: "Also writes notes, assigns, closes, suppresses and reports.",
      responder: "Also acts, undoes, repairs, runs playbooks and drills, and reads the audit trail.", admin: "Also sees settings and manages accounts.",
    },
  },
  alerts: {
    title: "Alerts out", none: "Nobody is told outside of this console. Outputs are set in the configuration file.", test: "Send a test", tested: "The test was sent.",
    counts: (sent: string, waiting: string, lost: string) => `${sent} sent, ${waiting} waiting, ${lost} given up`,
  },
  settings: {
    look: "How it looks", language: "Language", oldPassword: "Present password", newPassword: "New password", passwordHint: (n: number) => `At least ${n} characters. Length matters, signs do not.`,
    savePassword: "Set the password", passwordSaved: "The password is set.", passkeys: "Passkeys", passkeysHint: "A key on your device instead of a password.", addPasskey: "Add a passkey", noPasskeys: "This browser has no passkeys here.", remove: "Remove",
    tokens: "API tokens", tokensHint: "For programs. A token may do at most what you may.", addToken: "Make a token", tokenOnce: "Copy it now; it is shown once:", effective: "Configuration in force",
    effectiveHint: "Change it in the configuration file and start the agent again.", from: "Set by", byDefault: "Default", secretSet: "set, not shown",
    own: "The program", same: "the same", changedOnly: "Only what somebody set", allDefault: "Everything is as it comes.", origins: { default: "nobody", file: "the file", command: "the command line" } as Terms,
    keys: (n: number, set: number) => `${n} key${s(n)}${set > 0 ? `, ${set} set` : ""}`,
  },
};

export type Messages = typeof en;
