// Passkeys: the browser's ceremony between the two requests of the agent.

import { post } from "./client";

export const supported = (): boolean =>
  typeof PublicKeyCredential !== "undefined" && typeof PublicKeyCredential.parseRequestOptionsFromJSON === "function";

interface Begun {
  publicKey?: unknown;
  options?: { publicKey?: unknown };
  session?: string;
  id?: string;
}

const optionsOf = (b: Begun): unknown => b.publicKey ?? b.options?.publicKey ?? b.options ?? b;

export async function login(name: string): Promise<void> {
  const begun = await post<Begun>("/session/passkey/begin", name ? { name } : {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(optionsOf(begun) as PublicKeyCredentialRequestOptionsJSON);
  const credential = await navigator.credentials.get({ publicKey });
  await post("/session/passkey/finish", (credential as PublicKeyCredential).toJSON());
}

export async function register(label: string): Promise<void> {
  const begun = await post<Begun>("/me/passkeys/begin", { name: label });
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(optionsOf(begun) as PublicKeyCredentialCreationOptionsJSON);
  const credential = await navigator.credentials.create({ publicKey });
  await post("/me/passkeys/finish", (credential as PublicKeyCredential).toJSON());
}
