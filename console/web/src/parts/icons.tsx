// Our own few icons, 20 by 20, drawn with the colour of the text. They say nothing that the text does not say too.

const paths = {
  overview: "M3 3h6v8H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 13h6v4H3z",
  incidents: "M10 2.5 18 16.5H2zM10 8v4M10 14.2v.3",
  findings: "M4 5h12M4 10h12M4 15h7",
  host: "M3 4h14v5H3zM3 11h14v5H3zM6 6.5h.01M6 13.5h.01",
  posture: "M10 2.5 16.5 5v5c0 4-3 6.3-6.5 7.5C6.5 16.3 3.5 14 3.5 10V5zM7.2 10l2 2 3.6-4",
  drills: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  playbooks: "M4 3h9l3 3v11H4zM7 8h6M7 11h6M7 14h3",
  rules: "M5 3v14M5 5h10l-2 3 2 3H5",
  suppressions: "M3 10a7 7 0 1 0 14 0 7 7 0 0 0-14 0zM5.2 5.2l9.6 9.6",
  trail: "M6 4h10M6 10h10M6 16h10M3 4h.01M3 10h.01M3 16h.01",
  accounts: "M10 3a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM4 17c0-4 3-6 6-6s6 2 6 6",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  menu: "M3 5h14M3 10h14M3 15h14",
  close: "M5 5l10 10M15 5 5 15",
  lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M7 5 4 8l3 3",
  process: "M4 4h12v9H4zM7 17h6M10 13v4",
  network: "M10 3v5M10 8H5v3M10 8h5v3M3 11h4v4H3zM13 11h4v4h-4z",
  file: "M5 2.5h7l3 3v12H5zM12 2.5v3h3",
  login: "M8 3h8v14H8M3 10h9M9 7l3 3-3 3",
  finding: "M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3zM13.5 13.5 17 17",
  action: "M11 2.5 4 11.5h5l-1 6 8-9.5h-5z",
  note: "M4 4h12v9H9l-4 4v-4H4z",
  state: "M4 10h9M10 6l4 4-4 4",
  check: "M4 10.5l4 4 8-9",
  cross: "M5 5l10 10M15 5 5 15",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M10 15v.2",
  theme: "M10 3v14a7 7 0 0 0 0-14zM10 3a7 7 0 0 0 0 14",
} as const;

export type IconName = keyof typeof paths;

export const isIcon = (name: string): name is IconName => Object.hasOwn(paths, name);

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={paths[name]} fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
