import { useState } from "react";
import { get } from "../api/client";
import { useLive } from "../api/events";
import { useList } from "../api/list";
import type { TrailEntry } from "../api/types";
import { useT } from "../i18n";
import { number } from "../parts/format";
import { Empty, Failed, Loading, Page } from "../parts/states";
import { Tell } from "../parts/tell";
import { Code, Raw, When } from "../parts/text";
import { say } from "../parts/toast";

const id = (e: TrailEntry) => String(e.seq);

export default function Trail() {
  const t = useT();
  const live = useLive("action", "incident", "run");
  const list = useList<TrailEntry>("/audit-trail", id, live);
  const [verdict, setVerdict] = useState<{ ok: boolean; text: string }>();
  const verify = async () => {
    try {
      const v = await get<{ ok: boolean; entries: number; problem?: string }>("/audit-trail/verify");
      setVerdict({ ok: v.ok, text: v.ok ? t.trail.whole(number(v.entries)) : `${t.trail.broken} ${v.problem ?? ""}` });
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <Page
      title={t.nav.trail}
      tools={
        list.error?.status === 403 ? undefined : (
          <button type="button" className="primary" onClick={() => void verify()}>
            {t.trail.verify}
          </button>
        )
      }
    >
      <p className="lead">{t.trail.what}</p>
      <div role="status">
        {verdict && (
          <p className={verdict.ok ? "verdict good" : "verdict bad"}>
            <Raw text={verdict.text} />
          </p>
        )}
      </div>
      {list.error && <Failed error={list.error} retry={list.reload} />}
      {list.items.length === 0 && list.loading && <Loading />}
      {list.items.length === 0 && !list.loading && !list.error && <Empty icon="trail" title={t.trail.none} />}
      {list.items.length > 0 && (
        <div className="scroll" role="group" aria-label={t.nav.trail} tabIndex={0}>
          <table className="trail">
            <thead>
              <tr>
                <th scope="col" className="end">
                  {t.trail.seq}
                </th>
                <th scope="col">{t.words.time}</th>
                <th scope="col">{t.trail.who}</th>
                <th scope="col">{t.trail.did}</th>
                <th scope="col">{t.words.about}</th>
                <th scope="col">{t.words.why}</th>
                <th scope="col">{t.trail.hash}</th>
              </tr>
            </thead>
            <tbody>
              {list.items.map((e) => (
                <tr key={e.seq}>
                  <td className="num end">{e.seq}</td>
                  <td className="nowrap">
                    <When time={e.time} />
                  </td>
                  <td>
                    <Raw text={e.who} />
                  </td>
                  <td>
                    <Raw text={e.what} />
                  </td>
                  <td>
                    <Code text={e.target} />
                    {e.detail &&
                      Object.entries(e.detail).map(([k, v]) => (
                        <div key={k} className="dim">
                          <Raw text={`${k}: ${v}`} />
                        </div>
                      ))}
                  </td>
                  <td>
                    <Tell text={e.why} />
                  </td>
                  <td>
                    <Code text={e.hash.slice(0, 12)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.more && (
        <button type="button" className="plain" disabled={list.loading} onClick={list.askMore}>
          {t.trail.older}
        </button>
      )}
    </Page>
  );
}
