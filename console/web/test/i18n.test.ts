import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "vite";
import { describe, expect, test } from "vitest";
import { en } from "../src/i18n/en";
import { zh } from "../src/i18n/zh";

/** Every key of every map, also of those that are keyed by words of the agent. */
function keys(o: unknown, at = ""): string[] {
  if (typeof o !== "object" || o === null) return [at];
  return Object.entries(o).flatMap(([k, v]) => keys(v, at ? `${at}.${k}` : k));
}

test("both languages have the same keys", () => {
  expect(keys(zh).sort()).toEqual(keys(en).sort());
});

test("no sentence was left in English", () => {
  const same = ["product", "languages.en", "languages.zh", "words.pid", "host.cpu", "host.sha256", "host.version", "suppressions.by.sha256", "login.firstCommand", "login.lockedOutCommand"];
  const at = (o: unknown, path: string) => path.split(".").reduce<unknown>((x, k) => (x as Record<string, unknown>)[k], o);
  const left = keys(zh).filter((k) => !same.includes(k) && !k.startsWith("filters.spans") && typeof at(zh, k) === "string" && at(zh, k) === at(en, k));
  expect(left).toEqual([]);
});

type Node = { type?: string; start?: number; [key: string]: unknown };

const letter = /\p{L}/u;
const spoken = ["title", "alt", "placeholder", "label", "aria-label", "aria-description", "aria-roledescription", "aria-valuetext", "verb", "done", "whyLabel", "heading"];

/** The texts that a reader would see or hear and that are in no file of messages. */
function literals(source: string): string[] {
  const found: string[] = [];
  const text = (v: unknown) => {
    if (typeof v === "string" && letter.test(v)) found.push(v.trim());
  };
  const walk = (n: unknown, inJsx: boolean): void => {
    if (Array.isArray(n)) {
      for (const x of n) walk(x, inJsx);
      return;
    }
    if (typeof n !== "object" || n === null) return;
    const node = n as Node;
    if (node.type === "JSXText") text(node.value);
    if (node.type === "JSXAttribute") {
      const name = (node.name as Node).name as string;
      if (spoken.includes(name)) {
        const value = node.value as Node | null;
        if (value?.type === "Literal") text(value.value);
        else walk(value, true);
      } else if ((node.value as Node | null)?.type === "JSXExpressionContainer") walk((node.value as Node).expression, false);
      return;
    }
    if (inJsx && node.type === "Literal") text(node.value);
    if (inJsx && node.type === "TemplateLiteral") for (const q of node.quasis as Node[]) text((q.value as { cooked: string }).cooked);
    if (node.type === "CallExpression" || node.type === "BinaryExpression" || node.type === "MemberExpression" || node.type === "ArrowFunctionExpression" || node.type === "ObjectExpression") inJsx = false;
    if (node.type === "ConditionalExpression") {
      walk(node.test, false);
      walk(node.consequent, inJsx);
      walk(node.alternate, inJsx);
      return;
    }
    if (node.type === "LogicalExpression") {
      walk(node.left, false);
      walk(node.right, inJsx);
      return;
    }
    if (node.type === "JSXExpressionContainer") inJsx = true;
    if (node.type === "JSXElement" || node.type === "JSXFragment") inJsx = true;
    for (const [k, v] of Object.entries(node)) if (k !== "type" && k !== "start" && k !== "end") walk(v, k === "openingElement" ? false : inJsx);
  };
  walk(parseAst(source, { lang: "tsx" }) as unknown as Node, false);
  return found;
}

describe("texts are in the files of messages", () => {
  test("the search finds them", () => {
    const t = (jsx: string) => literals(`const a = (x: string) => ${jsx};`);
    expect(t("<p>Hello</p>")).toEqual(["Hello"]);
    expect(t('<p title="Hello" />')).toEqual(["Hello"]);
    expect(t('<p>{x ? "Yes" : "No"}</p>')).toEqual(["Yes", "No"]);
    expect(t("<p>{`${x} rows`}</p>")).toEqual(["rows"]);
    expect(t('<p className="x" aria-label={"Open"} />')).toEqual(["Open"]);
    expect(t('<p>{x && "Yes"}</p>')).toEqual(["Yes"]);
    expect(t('<p className={x ? "a" : "b"}>{t.words.copy} · {f("x")}</p>')).toEqual([]);
  });

  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".tsx"));
  test.each(files)("%s", (f) => {
    expect(literals(readFileSync(join("src", f), "utf8"))).toEqual([]);
  });
});
