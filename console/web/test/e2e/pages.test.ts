import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { start, type Agent } from "./agent";
import { accessible, launch, person, settled, shot, type Watch } from "./browser";

const watch: Watch = { foreign: [], faults: [] };
let agent: Agent;
let browser: Browser;
let state: Awaited<ReturnType<Awaited<ReturnType<typeof person>>["storageState"]>>;

beforeAll(async () => {
  agent = await start();
  browser = await launch(agent.key);
  const context = await person(browser, agent.base, watch);
  const page = await context.newPage();
  await page.goto(agent.link);
  await page.waitForSelector("nav.side");
  state = await context.storageState();
  await context.close();
});

afterAll(async () => {
  await browser?.close();
  await agent?.stop();
});

const pages = ["/", "/incidents", "/findings", "/host", "/posture", "/drills", "/playbooks", "/rules?text=stratum", "/suppressions", "/audit-trail", "/accounts", "/settings", "/nowhere"];
const looks = [
  ["light", { colorScheme: "light" }],
  ["phone", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
  ["dark-zh", { colorScheme: "dark", locale: "zh-CN" }],
] as const;

describe.each(looks)("every page, %s", (look, options) => {
  test("has no violation, fits, and asks nobody else", async () => {
    const context = await person(browser, agent.base, watch, { ...options, storageState: state });
    const page = await context.newPage();
    for (const path of pages) {
      await page.goto(path);
      await settled(page);
      await accessible(page, `${look} ${path}`);
      // What the agent itself says of its drills and playbooks has Chinese.
      if (look === "dark-zh" && ["/drills", "/playbooks"].includes(path)) await page.waitForFunction(() => document.querySelector("main .card, main .claim") && !document.querySelector("main [lang=en]"));
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), `${look} ${path} is wider than the screen`).toBeLessThanOrEqual(0);
      await shot(page, `${look}-${path.replace(/\W+/g, "") || "overview"}`);
    }
    await context.close();
    expect(watch.foreign).toEqual([]);
    expect(watch.faults).toEqual([]);
  });
});

const incidents = 10_000;
const findings = 100_000;

/** Answers lists in the agent's stead, as long as no small test machine has them. */
async function crowd(page: Page): Promise<void> {
  const row = (i: number, finding: boolean) => ({
    ...(finding ? { incident: `i${i % incidents}`, seq: i, rule: "pow/randomx", confidence: 0.99, count: 3, time: "2026-11-22T00:00:00Z", last: "2026-11-22T00:00:00Z", evidence: [] } : { id: `i${i}`, state: "open", score: 0.99, opened: "2026-11-22T00:00:00Z", updated: "2026-11-22T00:00:00Z", findings: 10, rules: [] }),
    subject: { type: "process", id: `boot/${i}@1`, name: `worker-${i}` }, severity: "high", title: `row ${i}`, host: "web-1",
  });
  const serve = async (path: string, total: number) =>
    page.route(new RegExp(`/api/v1/${path}\\?`), async (route) => {
      const q = new URL(route.request().url()).searchParams;
      const from = Number(q.get("after") ?? 0);
      const to = Math.min(total, from + Number(q.get("limit")));
      await route.fulfill({ json: { items: Array.from({ length: to - from }, (_, i) => row(from + i, path === "findings")), ...(to < total ? { next: String(to) } : {}) } });
    });
  await serve("incidents", incidents);
  await serve("findings", findings);
}

test.each([
  ["incidents", incidents],
  ["findings", findings],
])("%s by the thousand scroll, with few of them in the document", async (path, total) => {
  const context = await person(browser, agent.base, watch, { storageState: state });
  const page = await context.newPage();
  await crowd(page);
  await page.goto(`/${path}`);
  await page.waitForSelector(".vbody .vrow");
  // Down to the end as fast as pages come, then back in big steps; each frame is timed.
  const seen = await page.evaluate(async (want) => {
    const body = document.querySelector(".vbody") as HTMLElement;
    const frames: number[] = [];
    let most = 0;
    let last = performance.now();
    const frame = () =>
      new Promise<void>((done) =>
        requestAnimationFrame((t) => {
          frames.push(t - last);
          last = t;
          most = Math.max(most, body.querySelectorAll(".vrow").length);
          done();
        }),
      );
    const end = performance.now() + 50_000;
    while (performance.now() < end && body.scrollHeight < want * 45) {
      body.scrollTop = body.scrollHeight;
      await frame();
    }
    const loaded = Math.round(body.scrollHeight / 45);
    frames.length = 0;
    for (let i = 0; i < 240; i++) {
      body.scrollTop -= i % 40 === 0 ? body.scrollHeight / 8 : 400;
      await frame();
    }
    frames.sort((a, b) => a - b);
    return { loaded, most, median: frames[120] ?? 0, p95: frames[228] ?? 0, worst: frames[239] ?? 0, blank: body.querySelectorAll(".vrow").length === 0 };
  }, total);
  console.log(`${path}: ${seen.loaded} rows, at most ${seen.most} in the document; a frame takes ${seen.median.toFixed(1)} ms (median), ${seen.p95.toFixed(1)} ms (95 %), ${seen.worst.toFixed(1)} ms (worst)`);
  expect(seen.loaded).toBe(total);
  expect(seen.most).toBeLessThan(80);
  expect(seen.blank).toBe(false);
  await context.close();
});

test("a page says so when the agent is gone", async () => {
  const context = await person(browser, agent.base, watch, { storageState: state });
  const page = await context.newPage();
  const fetched = page.waitForResponse(/\/assets\/drills-.*js/); // the pages one has not been to yet
  await page.goto("/");
  await page.waitForSelector(".link-live");
  await fetched;
  await page.waitForLoadState("networkidle").catch(() => {}); // the stream never ends
  await agent.stop();
  await page.waitForSelector(".link-lost");
  await page.setViewportSize({ width: 360, height: 740 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), "what says so is wider than a phone").toBeLessThanOrEqual(0);
  await page.setViewportSize({ width: 1380, height: 900 });
  await page.getByRole("link", { name: "Drills" }).click();
  await page.getByRole("button", { name: "Try again" }).waitFor();
  await accessible(page, "agent gone");
  await shot(page, "gone");
  await context.close();
});
