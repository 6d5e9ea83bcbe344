import { useT } from "../i18n";
import { Raw } from "./text";

const kind = (line: string) => (/^(\+\+\+|---|diff |index )/.test(line) ? "file" : line.startsWith("+") ? "add" : line.startsWith("-") ? "del" : line.startsWith("@@") ? "hunk" : "same");

/** A unified diff; what is added and taken away is told by its sign too. */
export function Diff({ text }: { text: string }) {
  const t = useT();
  return (
    <pre className="diff" tabIndex={0} role="group" aria-label={t.words.diff}>
      {text
        .replace(/\n$/, "")
        .split("\n")
        .map((line, i) => (
          <span key={i} className={`d-${kind(line)}`}>
            <Raw text={line} lines />
            {"\n"}
          </span>
        ))}
    </pre>
  );
}
