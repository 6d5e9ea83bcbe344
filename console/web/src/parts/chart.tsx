import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { locale } from "../i18n";
import { useTheme } from "./theme";

interface Props {
  /** Says what the curve shows, to those who do not see it too. */
  label: string;
  /** Seconds since 1970, rising. */
  x: number[];
  y: number[];
  max: number;
  unit: (v: number) => string;
  height?: number;
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One curve over time. */
export function Chart({ label, x, y, max, unit, height = 140 }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme();
  const unitRef = useRef(unit);
  unitRef.current = unit;
  const dataRef = useRef<[number[], number[]]>([x, y]);
  dataRef.current = [x, y];

  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    const probe = document.createElement("span"); // canvas knows no light-dark(): the browser resolves it on an element
    el.append(probe);
    const colour = (name: string) => {
      probe.style.color = css(name);
      return getComputedStyle(probe).color;
    };
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const make = () =>
      new uPlot(
        {
          width: Math.max(120, el.clientWidth),
          height,
          legend: { show: false },
          cursor: { show: false },
          scales: { y: { range: [0, max] } },
          axes: [{ ...axis, values: (_, v) => v.map((s) => new Date(s * 1000).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" })) }, { ...axis, size: 56, values: (_, v) => v.map((n) => unitRef.current(n)) }],
          series: [{}, { stroke: colour("--accent"), width: 2, points: { show: false } }],
        },
        dataRef.current,
        el,
      );
    const build = () => {
      plot.current?.destroy();
      plot.current = make();
    };
    build();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", build);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(120, el.clientWidth), height }));
    watch.observe(el);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", build);
      plot.current?.destroy();
      plot.current = null;
      probe.remove();
    };
  }, [height, max, theme]);

  useEffect(() => plot.current?.setData([x, y]), [x, y]);
  return <div className="chart" ref={ref} role="img" aria-label={label} />;
}
