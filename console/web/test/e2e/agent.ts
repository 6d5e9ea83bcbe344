// A real agent for the browser to look at: built from this tree, observing, with everything it keeps in a directory of its own.
// Where the tests run as root it sees a copy of /etc, so that a repair changes nothing of the machine.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname, "../../../..");

export interface Agent {
  base: string;
  /** Lets the first admin in, once. */
  link: string;
  pid: number;
  /** Names its certificate's key, which nobody signed, so that the browser takes this one and no other. */
  key: string;
  /** The /etc that it sees, or "" where that is the machine's. */
  etc: string;
  stop: () => Promise<void>;
}

function build(dir: string): string {
  const given = process.env.MW_BIN;
  if (given) return given;
  const out = join(dir, "minewarden");
  execFileSync("go", ["build", "-o", out, "./cmd/minewarden"], { cwd: repository, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, CGO_ENABLED: "0" } });
  return out;
}

export async function start(): Promise<Agent> {
  const dir = mkdtempSync(join(tmpdir(), "mw-e2e-"));
  const root = process.getuid?.() === 0;
  const bin = build(dir);
  const args = ["up", "--data", join(dir, "data"), "--listen", "127.0.0.1:0", "--respond", "observe"];
  let child: ChildProcess;
  const etc = root ? join(dir, "etc") : "";
  if (root) {
    cpSync("/etc", etc, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true, filter: (f) => !f.includes("/ssl/private") });
    child = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh", etc, bin, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  } else child = spawn(bin, args, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const link = await new Promise<string>((done, fail) => {
    const late = setTimeout(() => fail(new Error(`no link after a minute:\n${log}`)), 60_000);
    child.stderr?.on("data", (b: Buffer) => {
      log = (log + b.toString()).slice(-100_000);
      const m = /https:\/\/\S+\/login#\S+/.exec(log);
      if (m) {
        clearTimeout(late);
        done(m[0]);
      }
    });
    child.once("exit", (code) => fail(new Error(`the agent ended with ${code}:\n${log}`)));
  });
  return {
    base: new URL(link).origin,
    link,
    key: createHash("sha256").update(new X509Certificate(readFileSync(join(dir, "data", "tls", "cert.pem"))).publicKey.export({ type: "spki", format: "der" })).digest("base64"),
    pid: child.pid ?? 0,
    etc,
    stop: async () => {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await ended;
      clearTimeout(late);
      if (process.env.MW_SHOTS) writeFileSync(join(process.env.MW_SHOTS, "agent.log"), log);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
