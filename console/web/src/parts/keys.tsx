// Keyboard shortcuts: "?" shows them, "g" and a letter goes to a page. They can be switched off, for those who speak to
// their computer.

import { useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { useT } from "../i18n";
import { Dialog } from "./act";
import { places } from "./places";

const key = "mw.shortcuts";
const goKey = "g";
const patience = 1500; // ms between "g" and its letter

function enabled(): boolean {
  try {
    return localStorage.getItem(key) !== "off";
  } catch {
    return true;
  }
}

function typing(e: KeyboardEvent): boolean {
  const el = e.target as HTMLElement | null;
  return e.ctrlKey || e.metaKey || e.altKey || !!el?.closest("input, textarea, select, [contenteditable], dialog");
}

export function Keys() {
  const t = useT();
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  const [on, setOn] = useState(enabled);

  useEffect(() => {
    let g = 0;
    const press = (e: KeyboardEvent) => {
      if (typing(e)) return;
      if (e.key === "?") {
        e.preventDefault();
        setHelp(true);
        return;
      }
      if (!on) return;
      if (e.key === goKey) {
        g = e.timeStamp;
        return;
      }
      const place = places.find((p) => p.key === e.key);
      if (g > 0 && e.timeStamp - g < patience && place) {
        e.preventDefault();
        void navigate(place.to);
      } else if (e.key === "/") {
        const search = document.querySelector<HTMLElement>("main input[type=search]");
        if (search) {
          e.preventDefault();
          search.focus();
        }
      }
      g = 0;
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [navigate, on]);

  const toggle = () => {
    const next = !on;
    setOn(next);
    try {
      localStorage.setItem(key, next ? "on" : "off");
    } catch {
      // then it lasts as long as the page
    }
  };
  if (!help) return null;
  return (
    <Dialog title={t.keys.title} onClose={() => setHelp(false)}>
      <dl className="keys">
        <dt>
          <kbd>?</kbd>
        </dt>
        <dd>{t.keys.help}</dd>
        <dt>
          <kbd>/</kbd>
        </dt>
        <dd>{t.keys.search}</dd>
        <dt>
          <kbd>↑</kbd> <kbd>↓</kbd>
        </dt>
        <dd>{t.keys.rows}</dd>
        {places.map((p) => (
          <div key={p.to} className="pair">
            <dt>
              <kbd>{goKey}</kbd> <kbd>{p.key}</kbd>
            </dt>
            <dd>{t.nav[p.name]}</dd>
          </div>
        ))}
      </dl>
      <label className="check">
        <input type="checkbox" checked={on} onChange={toggle} /> {t.keys.on}
      </label>
    </Dialog>
  );
}
