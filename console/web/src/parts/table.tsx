// A long list of which only what can be seen is in the document. All rows are of one height, so that the scroll bar tells the
// truth; a screen reader is told the place of each row.

import { useCallback, useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useT } from "../i18n";
import { number } from "./format";

export interface Column<T> {
  key: string;
  head: string;
  cell: (row: T) => ReactNode;
  /** Numbers stand at the end of their column. */
  end?: boolean;
}

interface Props<T> {
  label: string;
  className: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  more: boolean;
  loading: boolean;
  onEnd: () => void;
}

const over = 12; // rows kept above and below what is seen
const wide = 45; // px, as --row in parts.css
const narrow = 92;
const phone = "(max-width: 720px)";

/** The rows to show, and where the first of them stands. */
export function slice(scroll: number, height: number, row: number, count: number): { from: number; to: number } {
  const first = Math.floor(Math.max(0, scroll) / row);
  const shown = Math.ceil(height / row);
  const from = Math.max(0, Math.min(first, count - shown) - over);
  return { from, to: Math.min(count, Math.max(0, Math.min(first, count)) + shown + over) };
}

function useRowHeight(): number {
  const [small, setSmall] = useState(() => matchMedia(phone).matches);
  useEffect(() => {
    const m = matchMedia(phone);
    const f = () => setSmall(m.matches);
    m.addEventListener("change", f);
    return () => m.removeEventListener("change", f);
  }, []);
  return small ? narrow : wide;
}

export function Table<T>({ label, className, columns, rows, id, more, loading, onEnd }: Props<T>) {
  const t = useT();
  const row = useRowHeight();
  const ref = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const look = useCallback(() => {
    const el = ref.current;
    if (el) setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight ? v : { top: el.scrollTop, height: el.clientHeight }));
  }, []);
  useEffect(() => {
    look();
    const el = ref.current;
    if (!el) return;
    const watch = new ResizeObserver(look);
    watch.observe(el);
    return () => watch.disconnect();
  }, [look]);
  const { from, to } = slice(view.top, view.height, row, rows.length);
  const near = more && to >= rows.length - over * 3;
  useEffect(() => {
    if (near && !loading) onEnd();
  }, [near, loading, onEnd]);

  const keys = (e: KeyboardEvent<HTMLDivElement>) => {
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    const at = (e.target as HTMLElement).closest<HTMLElement>("[data-row]");
    const el = ref.current;
    if (!at || !el) return;
    e.preventDefault();
    const next = Number(at.dataset.row) + (e.key === "ArrowDown" ? 1 : -1);
    if (next < 0 || next >= rows.length) return;
    if (next * row < el.scrollTop) el.scrollTop = next * row;
    else if ((next + 2) * row > el.scrollTop + el.clientHeight) el.scrollTop = (next + 2) * row - el.clientHeight;
    el.querySelector<HTMLElement>(`[data-row="${next}"] a`)?.focus({ preventScroll: true });
  };

  return (
    <div className={`vtable ${className}`} role="table" aria-label={label} aria-rowcount={more ? -1 : rows.length + 1} aria-busy={loading}>
      <div role="rowgroup" className="vhead">
        <div role="row" className="vrow" aria-rowindex={1}>
          {columns.map((c) => (
            <span key={c.key} role="columnheader" className={`c-${c.key}${c.end ? " end" : ""}`}>
              {c.head}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="vbody" ref={ref} onScroll={look} onKeyDown={keys}>
        <div role="presentation" style={{ blockSize: from * row }} />
        {rows.slice(from, to).map((r, i) => (
          <div key={id(r)} role="row" className="vrow" aria-rowindex={from + i + 2} data-row={from + i} style={{ blockSize: row }}>
            {columns.map((c) => (
              <span key={c.key} role="cell" className={`c-${c.key}${c.end ? " end" : ""}`}>
                {c.cell(r)}
              </span>
            ))}
          </div>
        ))}
        <div role="presentation" style={{ blockSize: Math.max(0, (rows.length - to) * row) }} />
      </div>
      <p className="vfoot dim" role="presentation">
        {more ? t.words.rowsSoFar(number(rows.length)) : t.words.rows(number(rows.length), rows.length)}
      </p>
    </div>
  );
}
