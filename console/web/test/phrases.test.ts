import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { book, phrase, type Phrase } from "../src/parts/phrases";

// The agent's own table.
const phrases: Phrase[] = readFileSync("../../internal/chinese/texts.tsv", "utf8")
  .split("\n")
  .filter((l) => l)
  .map((l) => {
    const [en = "", zh = ""] = l.split("\t");
    return { en, zh };
  });
const b = book(phrases);

test.each([
  ["freeze 3 processes of incident 3f2a", "冻结事件 3f2a 的 3 个进程"],
  ['"/tmp/x y" is in quarantine, sha256 ab', '"/tmp/x y" 已移入隔离区，sha256 ab'],
  ["Failed: kill 1 process of incident i1", "失败：终止事件 i1 的 1 个进程"],
  ["all its processes end; its files stay", "其全部进程结束；文件保留"],
  ["block 2 destinations for 1h0m0s", "阻断 2 个目的地，期限 1h0m0s"],
  ["a sentence that nobody wrote", undefined],
  ["they are here: nobody wrote this", undefined],
  ['"/x": it is init', '"/x"：它是 init'],
  ["", undefined],
])("%s", (en, zh) => {
  expect(phrase(b, en)).toBe(zh);
});

test("a name cannot become more than a name", () => {
  expect(phrase(b, "{1} $& $1 started")).toBe("{1} $& $1 启动");
});

test("long and hostile text is looked at, and left alone", () => {
  for (const s of ["pid 1 ".repeat(600), "; ".repeat(2000), '"'.repeat(4000), "%s ".repeat(1300)]) expect(phrase(b, s)).toBeUndefined();
});
