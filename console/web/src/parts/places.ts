import type { Role } from "../api/types";
import type { Messages } from "../i18n/en";
import type { IconName } from "./icons";

export interface Place {
  to: string;
  name: keyof Messages["nav"] & IconName;
  key: string;
  group: "now" | "work" | "keep";
  need?: Role;
}

/** The pages, in the order of the menu; key is pressed after "g". */
export const places: Place[] = [
  { to: "/", name: "overview", key: "o", group: "now" },
  { to: "/incidents", name: "incidents", key: "i", group: "now" },
  { to: "/findings", name: "findings", key: "f", group: "now" },
  { to: "/host", name: "host", key: "h", group: "now" },
  { to: "/posture", name: "posture", key: "p", group: "work" },
  { to: "/drills", name: "drills", key: "d", group: "work" },
  { to: "/playbooks", name: "playbooks", key: "b", group: "work" },
  { to: "/rules", name: "rules", key: "r", group: "work" },
  { to: "/suppressions", name: "suppressions", key: "x", group: "work" },
  { to: "/audit-trail", name: "trail", key: "t", group: "keep", need: "responder" },
  { to: "/accounts", name: "accounts", key: "a", group: "keep", need: "admin" },
  { to: "/settings", name: "settings", key: "s", group: "keep" },
];
