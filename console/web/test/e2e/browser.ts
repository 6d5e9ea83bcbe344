// Debian's chromium, which may reach nothing but this machine, and what every page is watched for.

import { AxeBuilder } from "@axe-core/playwright";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];

const shots = process.env.MW_SHOTS;

export const launch = (key: string): Promise<Browser> =>
  chromium.launch({ executablePath: process.env.MW_CHROMIUM ?? "/usr/bin/chromium", args: [...flags, `--ignore-certificate-errors-spki-list=${key}`] });

/** What pages did that they must not do. */
export interface Watch {
  foreign: string[];
  faults: string[];
}

export async function person(browser: Browser, base: string, watch: Watch, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1380, height: 900 }, baseURL: base, ...options });
  context.on("request", (r) => {
    if (new URL(r.url()).origin !== base) watch.foreign.push(r.url());
  });
  context.on("page", (page) => {
    page.on("pageerror", (e) => watch.faults.push(`${page.url()}: ${e.message}`));
    page.on("console", (m) => {
      // A refusal by the agent is an answer, and shown as one.
      if (m.type() === "error" && !/status of 4\d\d|ERR_(CONNECTION|HTTP2|INCOMPLETE|ABORTED|EMPTY)/.test(m.text())) watch.faults.push(`${page.url()}: ${m.text()}`);
    });
  });
  return context;
}

export async function shot(page: Page, name: string): Promise<void> {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** Fails with each violation that axe-core finds, and where. */
export async function accessible(page: Page, name: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? ""}`).join(" | ")}`)).toEqual([]);
}

/** The page has what it asked for: nothing of it is a placeholder any more. */
export async function settled(page: Page): Promise<void> {
  await page.waitForSelector("main h1");
  await page.waitForFunction(() => !document.querySelector("main .loading"));
}
