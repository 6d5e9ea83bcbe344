// Times, figures and sizes in the reader's language.

import { locale, t } from "../i18n";

const cached = new Map<string, Intl.DateTimeFormat>();

function format(key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const id = locale() + key;
  let f = cached.get(id);
  if (!f) cached.set(id, (f = new Intl.DateTimeFormat(locale(), { hourCycle: "h23", ...options })));
  return f;
}

/** Go writes a time that is not set as the year 1. */
export function isSet(time: string | undefined): time is string {
  return !!time && !time.startsWith("0001-");
}

const two = "2-digit" as const;
const day = { year: "numeric", month: two, day: two } as const;

export const dateTime = (time: string | Date) => format("dt", { ...day, hour: two, minute: two, second: two }).format(new Date(time));
export const date = (time: string | Date) => format("d", day).format(new Date(time));
export const clock = (time: string | Date) => format("c", { hour: two, minute: two, second: two }).format(new Date(time));

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** "3 minutes ago", "in 2 hours". */
export function relative(time: string | Date, now: number): string {
  const s = Math.round((new Date(time).getTime() - now) / 1000);
  const [unit, size] = units.find(([, n]) => Math.abs(s) >= n) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" }).format(Math.trunc(s / size), unit);
}

/** A length of time as at most two units: "3 h 20 min". */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const u = t().units;
  if (s < 60) return u.seconds(number(s));
  if (s < 3600) return join(u.minutes(String(Math.floor(s / 60))), s % 60 && s < 600 ? u.seconds(String(s % 60)) : "");
  if (s < 172800) return join(u.hours(String(Math.floor(s / 3600))), s % 3600 >= 60 ? u.minutes(String(Math.floor((s % 3600) / 60))) : "");
  return join(u.days(String(Math.floor(s / 86400))), s % 86400 >= 3600 ? u.hours(String(Math.floor((s % 86400) / 3600))) : "");
}

const join = (a: string, b: string) => (b ? `${a} ${b}` : a);

export function number(n: number, digits = 0): string {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(n);
}

export const percent = (x: number, digits = 0) =>
  new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: digits }).format(x);

/** Confidence never rounds up to certainty. */
export const confidence = (x: number) => percent(Math.min(Math.floor(x * 1000) / 1000, 0.999), x > 0.99 ? 1 : 0);

export function bytes(n: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < names.length - 1; i++) n /= 1024;
  return `${number(n, n < 10 && i > 0 ? 1 : 0)} ${names[i]}`;
}

/** A small figure that is more than nothing does not become nothing. */
export const atLeast = (n: number, digits: number) => (n > 0 && n < 10 ** -digits ? `< ${number(10 ** -digits, digits)}` : number(n, digits));

export function money(amount: number, currency: string): string {
  const least = amount > 0 && amount < 0.01;
  if (least) return `< ${money(0.01, currency)}`;
  try {
    return new Intl.NumberFormat(locale(), { style: "currency", currency, minimumFractionDigits: 2 }).format(amount);
  } catch {
    return `${number(amount, 2)} ${currency}`; // the currency comes from a configuration file
  }
}
