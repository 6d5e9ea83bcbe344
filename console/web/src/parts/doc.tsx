// A module's README as text: headings, paragraphs, lists, tables, code. Nothing in it becomes HTML, and addresses stay text.

import { Fragment, type ReactNode } from "react";
import { useLanguage } from "../i18n";
import { tongue } from "./tell";
import { Raw } from "./text";

export type Block =
  | { kind: "h"; level: number; text: string }
  | { kind: "p"; text: string }
  | { kind: "ul"; items: string[] }
  | { kind: "table"; rows: string[][] }
  | { kind: "code"; text: string };

const heading = /^(#{1,4}) (.*)$/;
const bullet = /^[-*] (.*)$/;

/** Splits what our READMEs use of Markdown into blocks. */
export function blocks(source: string): Block[] {
  const out: Block[] = [];
  const lines = source.split("\n");
  let para: string[] = [];
  const end = () => {
    if (para.length > 0) out.push({ kind: "p", text: para.join(" ") });
    para = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    const h = heading.exec(line);
    const b = bullet.exec(line);
    if (line.startsWith("```")) {
      end();
      const code: string[] = [];
      for (i++; i < lines.length && !(lines[i] ?? "").startsWith("```"); i++) code.push(lines[i] ?? "");
      out.push({ kind: "code", text: code.join("\n") });
    } else if (h) {
      end();
      out.push({ kind: "h", level: h[1]?.length ?? 1, text: h[2] ?? "" });
    } else if (b) {
      end();
      const last = out[out.length - 1];
      if (last?.kind === "ul" && (lines[i - 1] ?? "") !== "") last.items.push(b[1] ?? "");
      else out.push({ kind: "ul", items: [b[1] ?? ""] });
    } else if (line.startsWith("|")) {
      end();
      const cells = line.replace(/^\||\|\s*$/g, "").split("|").map((c) => c.trim());
      const last = out[out.length - 1];
      if (cells.every((c) => /^:?-+:?$/.test(c))) continue;
      if (last?.kind === "table") last.rows.push(cells);
      else out.push({ kind: "table", rows: [cells] });
    } else if (/^\s+\S/.test(line) && para.length === 0 && out[out.length - 1]?.kind === "ul") {
      const list = out[out.length - 1];
      if (list?.kind === "ul") list.items[list.items.length - 1] += ` ${line.trim()}`;
    } else if (line.trim() === "") end();
    else para.push(line.trim());
  }
  end();
  return out;
}

function inline(text: string): ReactNode {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part, i) => {
    if (part.startsWith("`") && part.endsWith("`") && part.length > 1)
      return (
        <code key={i}>
          <Raw text={part.slice(1, -1)} />
        </code>
      );
    if (part.startsWith("**") && part.endsWith("**") && part.length > 3)
      return (
        <strong key={i}>
          <Raw text={part.slice(2, -2)} />
        </strong>
      );
    return <Raw key={i} text={part.replace(/\[([^\]]*)\]\(([^)]*)\)/g, "$1 ($2)")} />;
  });
}

/** Shows a document; its second-level headings become level, its title is left out. What nobody translated is marked as English. */
export function Doc({ source, level = 3 }: { source: string; level?: 3 | 4 }) {
  const H = `h${level}` as "h3" | "h4";
  const zh = useLanguage() === "zh";
  return (
    <div className="doc">
      {blocks(source).map((b, i) => {
        switch (b.kind) {
          case "h":
            return b.level === 1 ? null : <H key={i} lang={tongue(b.text, zh)}>{inline(b.text)}</H>;
          case "p":
            return <p key={i} lang={tongue(b.text, zh)}>{inline(b.text)}</p>;
          case "ul":
            return (
              <ul key={i}>
                {b.items.map((x, j) => (
                  <li key={j} lang={tongue(x, zh)}>{inline(x)}</li>
                ))}
              </ul>
            );
          case "code":
            return (
              <pre key={i}>
                <Raw text={b.text} lines />
              </pre>
            );
          case "table":
            return (
              <table key={i}>
                <tbody>
                  {b.rows.map((r, j) => (
                    <tr key={j}>{r.map((c, k) => (j === 0 ? <th key={k} scope="col">{inline(c)}</th> : <td key={k}>{inline(c)}</td>))}</tr>
                  ))}
                </tbody>
              </table>
            );
          default:
            return <Fragment key={i} />;
        }
      })}
    </div>
  );
}

/** The section of a document under a heading, without the heading. */
export function section(source: string, title: string): string {
  const at = source.indexOf(`\n## ${title}\n`);
  if (at < 0) return "";
  const from = at + title.length + 5;
  const next = source.indexOf("\n## ", from);
  return source.slice(from, next < 0 ? undefined : next).trim();
}
