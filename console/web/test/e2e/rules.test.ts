import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { start, type Agent } from "./agent";
import { launch, person, settled, shot, type Watch } from "./browser";

const watch: Watch = { foreign: [], faults: [] };
let agent: Agent;
let browser: Browser;

beforeAll(async () => {
  agent = await start();
  browser = await launch(agent.key);
});

afterAll(async () => {
  await browser?.close();
  await agent?.stop();
});

const login = { english: "A client logs in to a mining pool", chinese: "客户端登录矿池" };
const own = "A rule of the operator";

/** Answers the findings in the agent's stead: one of a rule that has a translation, one of a rule that has none. */
const found = async (page: Page) =>
  page.route(/\/api\/v1\/findings\b/, (route) =>
    route.fulfill({
      json: {
        items: [["stratum/login", login.english], ["sigma/own", own]].map(([rule, title], i) => ({
          incident: `i${i}`, seq: i, rule, title, severity: "high", confidence: 0.9, count: 1, time: "2026-11-22T00:00:00Z", last: "2026-11-22T00:00:00Z",
          evidence: [], subject: { type: "process", id: `boot/${i}@1`, name: "worker" }, host: "web-1",
        })),
      },
    }),
  );

/** Tells of a new incident at every connection in the agent's stead: the first may come before the translations. */
let connections = 0;
const told = async (page: Page) =>
  page.route(/\/api\/v1\/events\b/, (route) => {
    const now = new Date().toISOString();
    const row = { id: `new${++connections}`, title: login.english, rules: ["stratum/login"], state: "open", severity: "high", opened: now, updated: now };
    return route.fulfill({ contentType: "text/event-stream", body: `event: incident\nid: 1\ndata: ${JSON.stringify(row)}\n\n` });
  });

test("what rules say is in the reader's language", async () => {
  const context = await person(browser, agent.base, watch, { locale: "zh-CN" });
  const page = await context.newPage();
  await page.goto(agent.link);
  await page.waitForSelector("nav.side");
  await page.goto("/rules?rule=stratum%2Flogin");
  await settled(page);
  await page.getByRole("heading", { name: login.chinese }).waitFor();
  await page.getByText("并阻断矿池").first().waitFor();
  await shot(page, "rules-zh");
  await found(page);
  await told(page);
  await page.goto("/findings");
  await page.getByText(`新事件：${login.chinese}`).first().waitFor();
  await settled(page);
  await page.locator(".vrow").getByText(login.chinese).waitFor();
  await page.getByText(own).waitFor();
  await shot(page, "findings-zh");
  await page.getByRole("button", { name: "Switch to English" }).click();
  await page.locator(".vrow").getByText(login.english).waitFor();
  expect(await page.locator(".vrow").getByText(login.chinese).count()).toBe(0);
  await context.close();
  expect(watch.faults).toEqual([]);
});
