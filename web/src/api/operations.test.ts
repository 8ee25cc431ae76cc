import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";

// The console uses the public API alone, and what it does not call people reach by
// another way.

const source = resolve(import.meta.dirname, "..");
const document = JSON.parse(readFileSync(resolve(source, "../../api/openapi.json"), "utf8"));
const commands = readFileSync(resolve(source, "../../docs/reference/commands.md"), "utf8");

/** documented are the operations of the document: their ids by method and path. */
const documented = new Map<string, string>(
  Object.entries<Record<string, { operationId: string }>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { operationId }]) => [`${method.toUpperCase()} ${path}`, operationId] as const,
    ),
  ),
);

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((f) => /\.tsx?$/.test(f) && !/\.test\.tsx?$|schema\.d\.ts$/.test(f))
  .map((f) => ({ name: f, text: readFileSync(join(source, f), "utf8") }));

/** spoken turns what the source writes into the addresses of the document. */
function spoken(path: string): string[] {
  const address = (path.split("?")[0] ?? "").replace(/\$\{encodeURIComponent\(ws\)\}/, "{workspace}");
  return /\$\{action\}/.test(address) ? ["pause", "resume"].map((a) => address.replace(/\$\{action\}/, a)) : [address];
}

const typed = /\bapi\s*\.(GET|POST|PUT|PATCH|DELETE)\(\s*["`](\/v1[^"`]*)["`]/g;
const streamed = /new EventSource\(\s*`(\/v1[^`]*)`/g;
const downloaded = /\.href = `(\/v1[^`]*)`/g;

const called = files.flatMap(({ name, text }) => [
  ...[...text.matchAll(typed)].map((m) => ({ name, method: m[1] ?? "", path: m[2] ?? "" })),
  ...[...text.matchAll(streamed), ...text.matchAll(downloaded)].map((m) => ({ name, method: "GET", path: m[1] ?? "" })),
]);

const operations = new Set(called.flatMap((c) => spoken(c.path).map((path) => `${c.method} ${path}`)));

it("calls operations of the document only", () => {
  expect(operations.size).toBeGreaterThan(50);
  expect([...operations].filter((o) => !documented.has(o))).toEqual([]);
});

it("speaks to the server in no way that is not looked at here", () => {
  for (const { name, text } of files) {
    const mentioned = text.match(/["'`]\/v1\b/g)?.length ?? 0;
    expect(`${name} ${mentioned}`).toBe(`${name} ${called.filter((c) => c.name === name).length}`);
    expect(name === "api/lists.ts" ? "" : text, name).not.toMatch(
      /(?<![.\w])fetch\(|XMLHttpRequest|sendBeacon|new WebSocket/,
    );
  }
});

/** elsewhere says how people reach what the console does not call: by a command, or
    why they have no need to. */
const elsewhere: Record<string, string> = {
  "create-workspace": "postern workspace create",
  "list-workspaces": "postern workspace list",
  "pause-workspace": "postern workspace pause",
  "resume-workspace": "postern workspace resume",
  "replace-permission-types": "postern permission register",
  "list-rotations": "postern rotation list",
  verify: "postern key verify",
  "start-device": "postern login",
  "poll-device": "postern login",
  "get-self": "postern key rotate",
  "rotate-self": "postern key rotate",
  "list-self-rotations": "postern key rotate",
  "revoke-self": "postern key revoke",
  "get-readiness": "postern doctor",
  "verify-batch": "for services, which have a client",
  "start-sso": "a link that the page is given",
  "finish-sso": "where a provider sends people back to",
  "get-health": "for what watches servers",
  "get-metrics": "for what watches servers",
  "follow-replica": "for verifiers, which are programs",
  "renew-replica": "for verifiers, which are programs",
  "renew-replica-again": "for verifiers, which are programs",
  "report-replica-use": "for verifiers, which are programs",
  "leave-replica": "for verifiers, which are programs",
  authorize: "for proxies, which ask at a listener of their own",
  "get-openapi": "for what makes clients",
};

it("leaves nothing out of people's reach", () => {
  const left = [...documented].filter(([o]) => !operations.has(o)).map(([, id]) => id);
  expect(left.filter((id) => !elsewhere[id])).toEqual([]);
  const named = Object.values(elsewhere).filter((way) => way.startsWith("postern "));
  expect(named.filter((command) => !commands.includes(`# ${command}\n`))).toEqual([]);
});
