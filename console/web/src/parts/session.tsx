import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { forget } from "../api/cache";
import { ApiError, del, get, onSessionLost, setCsrf } from "../api/client";
import { connect, disconnect } from "../api/events";
import type { Role, Session } from "../api/types";

const rank: Record<Role, number> = { viewer: 0, analyst: 1, responder: 2, admin: 3 };

/** Says whether a role may do what another is needed for. */
export const may = (role: Role | undefined, need: Role): boolean => role !== undefined && rank[role] >= rank[need];

export interface Auth {
  /** undefined: not known yet; null: nobody is logged in. */
  session: Session | null | undefined;
  /** Why that is not known. */
  error: ApiError | undefined;
  can: (need: Role) => boolean;
  refresh: () => Promise<void>;
  logout: () => Promise<void>;
}

const Context = createContext<Auth | null>(null);

export function useAuth(): Auth {
  const auth = useContext(Context);
  if (!auth) throw new Error("useAuth outside of SessionProvider");
  return auth;
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [error, setError] = useState<ApiError>();

  const refresh = useCallback(async () => {
    try {
      const s = await get<Session>("/session");
      setCsrf(s.csrf ?? "");
      setError(undefined);
      setSession(s.user ? s : null);
    } catch (e) {
      if (e instanceof ApiError && (e.status === 401 || e.status === 403)) setSession(null);
      else setError(e instanceof ApiError ? e : new ApiError(0, String(e), ""));
    }
  }, []);

  const logout = useCallback(async () => {
    try {
      await del("/session");
    } finally {
      setCsrf("");
      forget();
      setSession(null);
    }
  }, []);

  useEffect(() => {
    onSessionLost(() => {
      forget();
      setSession(null);
    });
    void refresh();
  }, [refresh]);

  const who = session?.user;
  useEffect(() => {
    if (!who) return;
    connect();
    return disconnect;
  }, [who]);

  const auth = useMemo<Auth>(
    () => ({ session, error, can: (need) => may(session?.role, need), refresh, logout }),
    [session, error, refresh, logout],
  );
  return <Context value={auth}>{children}</Context>;
}
