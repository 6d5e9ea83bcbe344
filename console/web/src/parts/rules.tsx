// What rules say, in the reader's language. Findings and checks come with English: the rule's id leads to the translation, and
// rules that operators bring stay as they are.

import { useData } from "../api/cache";
import type { Items, RuleDoc } from "../api/types";
import { useLanguage } from "../i18n";
import { Raw } from "./text";

const chinese = "/rules?lang=zh";
const none: RuleDoc[] = [];
const tables = new WeakMap<RuleDoc[], Map<string, RuleDoc>>(); // by answer: many rows ask of the same

function byID(rules: RuleDoc[]): Map<string, RuleDoc> {
  let m = tables.get(rules);
  if (!m) {
    m = new Map(rules.map((r) => [r.id, r]));
    tables.set(rules, m);
  }
  return m;
}

export const useRules = () => useData<Items<RuleDoc>>(useLanguage() === "zh" ? chinese : "/rules");

/** Returns what a rule says; English until the translation is there, and where there is none. */
export function useSaid(): (rule: string | undefined, part: "title" | "advice", english: string) => string {
  const zh = useLanguage() === "zh";
  const rules = byID(useData<Items<RuleDoc>>(zh ? chinese : null).data?.items ?? none);
  return (rule, part, english) => (zh && rule && rules.get(rule)?.[part]) || english;
}

export function Said({ rule, part, text }: { rule: string | undefined; part: "title" | "advice"; text: string }) {
  return <Raw text={useSaid()(rule, part, text)} />;
}
