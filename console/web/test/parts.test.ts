import { beforeAll, describe, expect, test } from "vitest";
import { refresh } from "../src/api/list";
import type { Action, Connection, Graph, GraphNode, Incident, IncidentFinding, IncidentRow, Work } from "../src/api/types";
import { draw } from "../src/parts/graph";
import { blocks, section } from "../src/parts/doc";
import { since } from "../src/parts/filters";
import { atLeast, bytes, confidence, duration, isSet, money } from "../src/parts/format";
import { slice } from "../src/parts/table";
import { pieces, visible } from "../src/parts/visible";
import { may } from "../src/parts/session";
import { modes } from "../src/parts/work";
import { advised, byWeight, families } from "../src/pages/incident/answers";
import { possible } from "../src/pages/incident/actions";
import { merge } from "../src/pages/host/connections";
import { alike } from "../src/pages/overview";
import { span } from "../src/pages/playbooks";
import { setLanguage } from "../src/i18n";

beforeAll(async () => {
  Object.assign(globalThis, { document: { documentElement: { lang: "" } } });
  await setLanguage("en", false);
});

test("of what is low and the same one stands for all", () => {
  const row = (id: string, severity: IncidentRow["severity"], title: string) => ({ id, severity, title, rules: [title] }) as IncidentRow;
  const rows = [row("a", "high", "x"), row("b", "high", "x"), row("c", "low", "y"), row("d", "low", "z"), row("e", "low", "y")];
  expect(alike(rows).map(([r, n]) => `${r.id} ${n}`)).toEqual(["a 0", "b 0", "c 1", "d 0"]);
});

describe("text of others", () => {
  test.each([
    ["plain", "nginx: worker", "nginx: worker"],
    ["Chinese", "挖矿程序", "挖矿程序"],
    ["markup stays text", "<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
    ["escape sequence", "\x1b[31mred", "‹U+001B›[31mred"],
    ["right to left override", "a\u202egpj.exe", "a‹U+202E›gpj.exe"],
    ["zero width", "ng\u200binx", "ng‹U+200B›inx"],
    ["nothing that looks like a letter", "a\u3164b", "a‹U+3164›b"],
    ["tag characters", "a\u{e0041}b", "a‹U+E0041›b"],
    ["newline", "a\nb", "a‹U+000A›b"],
  ])("%s", (_, text, want) => {
    expect(visible(text)).toBe(want);
  });

  test("lines keep their ends where they are wanted", () => {
    expect(pieces("a\nb\rc", true)).toEqual([
      { text: "a\nb", shown: false },
      { text: "U+000D", shown: true },
      { text: "c", shown: false },
    ]);
  });
});

describe("figures", () => {
  test.each([
    [0, "0 s"],
    [59.6, "1 min"],
    [61, "1 min 1 s"],
    [3600, "1 h"],
    [12345, "3 h 25 min"],
    [200000, "2 days 7 h"],
  ])("%d seconds", (n, want) => expect(duration(n)).toBe(want));
  test("confidence is never certainty", () => {
    expect(confidence(1)).toBe("99.9%");
    expect(confidence(0.996)).toBe("99.6%");
    expect(confidence(0.5)).toBe("50%");
  });
  test("sizes", () => expect(bytes(2 * 2 ** 30 + 80 * 2 ** 20)).toBe("2.1 GiB"));
  test("a little is not nothing", () => {
    expect(money(0.0004, "USD")).toBe("< US$0.01");
    expect(money(0, "USD")).toBe("US$0.00");
    expect(atLeast(0.0004, 2)).toBe("< 0.01");
  });
  test("a currency that is none", () => expect(money(1.5, "<b>")).toBe("1.5 <b>"));
  test("a time of Go that is not set", () => expect(isSet("0001-01-01T00:00:00Z")).toBe(false));
  test("spans of Go", () => {
    expect(span("1h30m0s")).toBe("1 h 30 min");
    expect(span(90e9)).toBe("1 min 30 s");
    expect(span("")).toBe("");
  });
  test("a filter by age is a time to the minute", () => {
    expect(since("24h", Date.UTC(2026, 10, 22, 2, 30, 45))).toBe("2026-11-21T02:30:00Z");
    expect(since("2026-01-01T00:00:00Z")).toBe("2026-01-01T00:00:00Z");
  });
});

describe("long lists", () => {
  test("only what is seen, and some around it, is drawn", () => {
    expect(slice(0, 900, 45, 100_000)).toEqual({ from: 0, to: 32 });
    expect(slice(45 * 50_000, 900, 45, 100_000)).toEqual({ from: 49_988, to: 50_032 });
    expect(slice(1e9, 900, 45, 100)).toEqual({ from: 68, to: 100 });
    expect(slice(0, 900, 45, 0)).toEqual({ from: 0, to: 0 });
  });
  test("a new head moves rows and doubles none", () => {
    expect(refresh(["a", "b", "c"], ["c", "x"], (s) => s)).toEqual(["c", "x", "a", "b"]);
  });
});

describe("lineage", () => {
  const node = (id: string): GraphNode => ({ id, kind: "process", label: id, member: false });
  const edge = (from: string, to: string) => ({ from, to, label: "started" });
  test("children stand to the right, parents between them", () => {
    const g: Graph = { nodes: ["a", "b", "c"].map(node), edges: [edge("a", "b"), edge("a", "c")] };
    const at = Object.fromEntries(draw(g).nodes.map((n) => [n.id, n]));
    expect(at.b!.x).toBeGreaterThan(at.a!.x);
    expect(at.a!.y).toBe((at.b!.y + at.c!.y) / 2);
  });
  test("cycles, self-loops and edges to nowhere end", () => {
    const g: Graph = { nodes: ["a", "b"].map(node), edges: [edge("a", "b"), edge("b", "a"), edge("a", "a"), edge("a", "gone")] };
    const d = draw(g);
    expect(d.nodes.length).toBe(2);
    expect(d.edges.length).toBe(2);
  });
});

const finding = (rule: string, severity: IncidentFinding["severity"], confidenceOf: number): IncidentFinding => ({
  time: "2026-11-22T00:00:00Z", last: "2026-11-22T00:00:00Z", count: 1, rule, title: rule, severity, confidence: confidenceOf, subject: { type: "process", id: "x" }, evidence: [],
});
const action = (op: string, reversible = true, blast: string[] = ["x"], refused: string[] = [], summary = op): Action => ({ id: op, responder: op, op, target: { type: "process", id: "x" }, summary, blast, refused, reversible });

describe("an incident in short", () => {
  const inc = { findings: [finding("stratum/login", "high", 0.9), finding("pow/randomx", "critical", 0.8), finding("pow/rounding", "high", 0.95)] } as Incident;
  test("the worst and surest come first", () => expect(byWeight(inc.findings).map((f) => f.rule)).toEqual(["pow/randomx", "pow/rounding", "stratum/login"]));
  test("kinds of evidence are counted once", () => expect(families(inc)).toEqual(["stratum", "pow"]));
  test("advice keeps proof first, never kills, and repeats no kind", () => {
    const plan = [action("kill", false), action("quarantine"), action("freeze"), action("freeze"), action("collect", false)];
    expect(advised(plan).map((a) => a.op)).toEqual(["collect", "freeze", "quarantine"]);
  });
  test("what a responder refuses is no advice", () => {
    expect(possible(action("isolate", true, ["x"], ["y"], "isolate this host: refused, for nobody could reach it"))).toBe(false);
    expect(possible(action("pause-container", true, [], ["no engine"]))).toBe(false);
    expect(possible(action("freeze"))).toBe(true);
  });
});

test("roles include those below", () => {
  expect(may("responder", "analyst")).toBe(true);
  expect(may("viewer", "analyst")).toBe(false);
  expect(may(undefined, "viewer")).toBe(false);
});

test("rounding modes that were used", () => {
  const w: Work = { near: 10, down: 1, up: 0, zero: 5, samples: 0, anon_samples: 0, anon_exec: 0, huge: 0, regions: [], wx: 0, tuned: [] };
  expect(modes(w)).toEqual({ used: 3, reads: 16 });
});

test("conversations with one remote are one line", () => {
  const c = (last: string, out: number): Connection => ({ proto: "udp", remote: "10.0.0.1:53", out, in: 1, first: last, last, matches: [] });
  expect(merge([c("2026-11-22T00:00:02Z", 5), c("2026-11-22T00:00:01Z", 7)])).toEqual([{ n: 2, c: { ...c("2026-11-22T00:00:02Z", 12), in: 2, first: "2026-11-22T00:00:02Z" } }]);
});

test("documents are text", () => {
  const doc = "# x\n\n## What it misses\nOne `code` and\nmore.\n\n- a\n- b\n  goes on\n\n## False positives\n<script>\n";
  expect(blocks(doc).map((b) => b.kind)).toEqual(["h", "h", "p", "ul", "h", "p"]);
  expect(section(doc, "What it misses")).toMatch(/^One `code`/);
  expect(section(doc, "What it misses")).not.toMatch(/False/);
});
