// One request to the agent: JSON in and out, the CSRF header where something changes, problem+json turned into ApiError.

import { t } from "../i18n";

/** What the agent said when it refused, or 0 when it could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly more: string[] = [],
  ) {
    super(detail || title);
    this.name = "ApiError";
  }
}

interface Problem {
  title?: string;
  detail?: string;
  errors?: { message?: string; location?: string }[] | null;
}

export const base = "/api/v1";

let csrf = "";
let onLost: () => void = () => {};

/** Sets the token that every change must carry. */
export function setCsrf(token: string): void {
  csrf = token;
}

/** Names what happens when the session has ended on the server. */
export function onSessionLost(f: () => void): void {
  onLost = f;
}

function problem(status: number, body: unknown): ApiError {
  const p = (typeof body === "object" && body !== null ? body : {}) as Problem;
  const more = (p.errors ?? []).map((e) => [e.location, e.message].filter(Boolean).join(": "));
  return new ApiError(status, p.title ?? t().errors.status(status), p.detail ?? "", more);
}

export async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  let res: Response;
  try {
    res = await fetch(base + path, {
      method,
      headers,
      signal: signal ?? null,
      credentials: "same-origin",
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, t().errors.unreachable, t().errors.unreachableWhy);
  }
  const text = await res.text();
  let json: unknown;
  try {
    json = text === "" ? undefined : JSON.parse(text);
  } catch {
    throw new ApiError(res.status, t().errors.status(res.status), res.ok ? t().errors.notJson : "");
  }
  if (!res.ok) {
    // Asking who is logged in, and logging in itself, say 401 as an answer.
    if (res.status === 401 && !path.startsWith("/session")) onLost();
    throw problem(res.status, json);
  }
  return json as T;
}

export const get = <T>(path: string, signal?: AbortSignal) => request<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown = {}) => request<T>("POST", path, body);
export const put = <T>(path: string, body: unknown) => request<T>("PUT", path, body);
export const patch = <T>(path: string, body: unknown) => request<T>("PATCH", path, body);
export const del = <T>(path: string) => request<T>("DELETE", path);

/** Makes "?a=b" of what is set. */
export function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== undefined && v !== "") q.set(k, String(v));
  const s = q.toString();
  return s === "" ? "" : "?" + s;
}
