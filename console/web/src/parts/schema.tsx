// Answers whose form belongs to another part of the agent, shown as they are: names and values.

import { Fragment } from "react";
import { isSet, number } from "./format";
import { Raw, When } from "./text";

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
const deepest = 4;

export function Values({ value, depth = 0 }: { value: unknown; depth?: number }) {
  if (value === null || value === undefined || value === "") return null;
  if (typeof value === "number") return <span className="num">{number(value, 3)}</span>;
  if (typeof value === "string") return time.test(value) ? isSet(value) ? <When time={value} /> : null : <Raw text={value} lines />;
  if (typeof value !== "object" || depth >= deepest) return <Raw text={typeof value === "object" ? JSON.stringify(value) : String(value)} />;
  if (Array.isArray(value)) {
    return (
      <ul>
        {value.map((v, i) => (
          <li key={i}>
            <Values value={v} depth={depth + 1} />
          </li>
        ))}
      </ul>
    );
  }
  return (
    <dl className="facts">
      {Object.entries(value).map(([k, v]) => (
        <Fragment key={k}>
          <dt>
            <Raw text={k.replaceAll("_", " ")} />
          </dt>
          <dd>
            <Values value={v} depth={depth + 1} />
          </dd>
        </Fragment>
      ))}
    </dl>
  );
}
