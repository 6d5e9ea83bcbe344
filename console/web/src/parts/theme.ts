// Light or dark: as the system says, until the reader says otherwise.

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";
export const themes: Theme[] = ["system", "light", "dark"];
const key = "mw.theme";
const watchers = new Set<() => void>();

let theme: Theme = "system";

function show(): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Takes the theme that was chosen last, before anything is shown. */
export function loadTheme(): void {
  try {
    theme = themes.find((x) => x === localStorage.getItem(key)) ?? "system";
  } catch {
    theme = "system";
  }
  show();
}

export function setTheme(next: Theme): void {
  theme = next;
  try {
    localStorage.setItem(key, theme);
  } catch {
    // then it lasts as long as the page
  }
  show();
  for (const w of watchers) w();
}

export function cycleTheme(): void {
  setTheme(themes[(themes.indexOf(theme) + 1) % themes.length] ?? "system");
}

export function useTheme(): Theme {
  return useSyncExternalStore(
    (f) => {
      watchers.add(f);
      return () => watchers.delete(f);
    },
    () => theme,
  );
}
