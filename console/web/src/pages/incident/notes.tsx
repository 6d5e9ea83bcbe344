import { useId, useState, type FormEvent } from "react";
import { invalidate } from "../../api/cache";
import { ApiError, post } from "../../api/client";
import type { Incident } from "../../api/types";
import { useT } from "../../i18n";
import { useAuth } from "../../parts/session";
import { Failed, NeedNote } from "../../parts/states";
import { Ago, Raw } from "../../parts/text";

export function Notes({ inc, path }: { inc: Incident; path: string }) {
  const t = useT();
  const id = useId();
  const { can } = useAuth();
  const [text, setText] = useState("");
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const add = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await post(`${path}/notes`, { text: text.trim() });
      setText("");
      invalidate(path);
    } catch (err) {
      setError(err instanceof ApiError ? err : new ApiError(0, String(err), ""));
    } finally {
      setBusy(false);
    }
  };
  return (
    <section id="notes" aria-labelledby="notes-h">
      <h2 id="notes-h">{t.incident.parts.notes}</h2>
      {(inc.notes ?? []).length === 0 && <p className="dim">{t.notes.none}</p>}
      <ol className="plainlist notes">
        {(inc.notes ?? []).map((n, i) => (
          <li key={`${n.time} ${i}`}>
            <p className="dim">
              <Raw text={n.who} /> · <Ago time={n.time} />
            </p>
            <p>
              <Raw text={n.text} lines />
            </p>
          </li>
        ))}
      </ol>
      <NeedNote need="analyst" />
      {can("analyst") && (
        <form className="noprint" onSubmit={(e) => void add(e)}>
          <div className="field">
            <label htmlFor={id}>{t.notes.add}</label>
            <textarea id={id} rows={2} maxLength={10000} required value={text} onChange={(e) => setText(e.target.value)} />
          </div>
          {error && <Failed error={error} />}
          <button type="submit" className="plain" disabled={busy || text.trim() === ""}>
            {t.notes.save}
          </button>
        </form>
      )}
    </section>
  );
}
