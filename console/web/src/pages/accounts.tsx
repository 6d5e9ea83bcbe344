import { useState } from "react";
import { invalidate, useData } from "../api/cache";
import { del, patch, post } from "../api/client";
import type { Account, Items, LoginLink, Role } from "../api/types";
import { useT } from "../i18n";
import { Act, Ask } from "../parts/act";
import { isSet } from "../parts/format";
import { Page, Show } from "../parts/states";
import { useAuth } from "../parts/session";
import { Ago, Code, Copy, Raw } from "../parts/text";
import { visible } from "../parts/visible";

const roles: Role[] = ["viewer", "analyst", "responder", "admin"];
type Change = { what: "role" | "unlock" | "reset" | "disable" | "enable" | "remove"; account: Account };

const isLocked = (a: Account) => isSet(a.locked) && new Date(a.locked) > new Date();

/** What can be done with an account as it is. */
const verbsOf = (a: Account): Change["what"][] => ["role", ...(isLocked(a) ? (["unlock"] as const) : []), "reset", a.disabled ? "enable" : "disable", "remove"];

export default function Accounts() {
  const t = useT();
  const { can, session } = useAuth();
  const answer = useData<Items<Account>>("/accounts");
  const [adding, setAdding] = useState(false);
  const [change, setChange] = useState<Change>();
  const [link, setLink] = useState<LoginLink>();
  return (
    <Page
      title={t.nav.accounts}
      tools={
        can("admin") && (
          <Act need="admin" kind="primary" onClick={() => setAdding(true)}>
            {t.accounts.add}
          </Act>
        )
      }
    >
      <div role="status">{link && <Handed link={link} />}</div>
      <Show answer={answer}>
        {(data) => (
          <div className="scroll" role="group" aria-label={t.nav.accounts} tabIndex={0}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{t.words.name}</th>
                  <th scope="col">{t.accounts.role}</th>
                  <th scope="col">{t.words.state}</th>
                  <th scope="col">{t.accounts.proofs}</th>
                  <th scope="col">{t.accounts.seen}</th>
                  <th scope="col">{t.words.actions}</th>
                </tr>
              </thead>
              <tbody>
                {(data.items ?? []).map((a) => (
                  <tr key={a.name}>
                    <th scope="row">
                      <Raw text={a.name} /> {a.name === session?.user && <span className="dim">{t.accounts.you}</span>}
                    </th>
                    <td>{t.roles[a.role] ?? a.role}</td>
                    <td>{a.disabled ? t.accounts.disabled : isLocked(a) ? t.accounts.locked : t.accounts.active}</td>
                    <td className="dim">{[a.password && t.login.password, a.passkeys > 0 && t.accounts.passkeys(a.passkeys), a.tokens > 0 && t.accounts.tokens(a.tokens)].filter(Boolean).join(" · ") || t.words.none}</td>
                    <td>
                      <Ago time={a.seen} />
                    </td>
                    <td>
                      <div className="buttons start">
                        {verbsOf(a).map((what) => (
                          <Act key={what} need="admin" kind={what === "remove" ? "danger" : "plain"} label={`${t.accounts.verbs[what]}: ${a.name}`} onClick={() => setChange({ what, account: a })}>
                            {t.accounts.verbs[what]}
                          </Act>
                        ))}
                      </div>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Show>
      <section aria-labelledby="roles-h">
        <h2 id="roles-h">{t.accounts.roles}</h2>
        <dl className="facts">
          {roles.map((r) => (
            <div key={r} className="pair">
              <dt>{t.roles[r]}</dt>
              <dd>{t.accounts.may[r]}</dd>
            </div>
          ))}
        </dl>
      </section>
      {adding && <Add onClose={() => setAdding(false)} made={setLink} />}
      {change && <Alter change={change} onClose={() => setChange(undefined)} made={setLink} />}
    </Page>
  );
}

function RoleField({ value, set }: { value: Role; set: (r: Role) => void }) {
  const t = useT();
  return (
    <div className="field">
      <label htmlFor="a-role">{t.accounts.role}</label>
      <select id="a-role" value={value} onChange={(e) => set(roles.find((r) => r === e.target.value) ?? "viewer")}>
        {roles.map((r) => (
          <option key={r} value={r}>
            {t.roles[r]}
          </option>
        ))}
      </select>
      <p className="dim">{t.accounts.may[value]}</p>
    </div>
  );
}

function Handed({ link }: { link: LoginLink }) {
  const t = useT();
  const url = `${location.origin}/login#${link.token}`;
  return (
    <p className="verdict good">
      {t.accounts.link(visible(link.account))} <Code text={url} /> <Copy text={url} label={t.login.title} />
    </p>
  );
}

function Add({ onClose, made }: { onClose: () => void; made: (l: LoginLink) => void }) {
  const t = useT();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  return (
    <Ask
      title={t.accounts.add}
      verb={t.accounts.add}
      done={t.accounts.added}
      onClose={onClose}
      run={async () => {
        made(await post<LoginLink>("/accounts", { name: name.trim(), role }));
        invalidate("/accounts");
      }}
    >
      <div className="field">
        <label htmlFor="a-name">{t.words.name}</label>
        <input id="a-name" required maxLength={64} autoComplete="off" autoCapitalize="none" spellCheck={false} value={name} onChange={(e) => setName(e.target.value)} />
      </div>
      <RoleField value={role} set={setRole} />
      <p>{t.accounts.addHint}</p>
    </Ask>
  );
}

function Alter({ change: { what, account }, onClose, made }: { change: Change; onClose: () => void; made: (l: LoginLink) => void }) {
  const t = useT();
  const [role, setRole] = useState<Role>(account.role);
  const path = `/accounts/${encodeURIComponent(account.name)}`;
  return (
    <Ask
      title={`${t.accounts.verbs[what]}: ${account.name}`}
      verb={t.accounts.verbs[what]}
      kind={what === "remove" || what === "reset" ? "danger" : "primary"}
      done={t.accounts.changed}
      onClose={onClose}
      run={async () => {
        if (what === "remove") await del(path);
        else if (what === "role") await patch(path, { role });
        else if (what === "reset") made(await post<LoginLink>(`${path}/reset`));
        else if (what === "unlock") await patch(path, { unlock: true });
        else await patch(path, { disabled: what === "disable" });
        invalidate("/accounts");
      }}
    >
      {what === "role" && <RoleField value={role} set={setRole} />}
      {what === "reset" && <p>{t.accounts.resetHint}</p>}
      {what === "unlock" && <p>{t.accounts.unlockHint}</p>}
      {what === "disable" && <p>{t.accounts.disableHint}</p>}
      {what === "remove" && <p>{t.accounts.removeHint}</p>}
    </Ask>
  );
}
