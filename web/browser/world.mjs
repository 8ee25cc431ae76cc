// A server of its own for each test file, with something in it, and a browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { chromium } from "playwright-core";

/** binary is the program under test; make builds it. */
export const binary = process.env.CONSOLE_BINARY ?? resolve(import.meta.dirname, "../../.tools/postern-browser");

/** pictures is where screenshots go. */
export const pictures = process.env.CONSOLE_PICTURES ?? resolve(import.meta.dirname, "../pictures");

const browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** freePort is a port that nobody listens on. The system hands out those from 32768 on to
    whoever connects, so one of these would be taken again before the server listens. */
function freePort() {
  const port = randomInt(10_240, 32_768);
  return new Promise((done) => {
    const server = createServer();
    server.on("error", () => done(freePort()));
    server.listen(port, "localhost", () => server.close(() => done(port)));
  });
}

/** Server is a running postern, and a key of its owner. */
export class Server {
  static async start({ store, name = "node-1", args = [], secret, empty = false } = {}) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), "postern-browser-"));
    server.env = { PATH: process.env.PATH, HOME: server.folder };
    server.port = await freePort();
    server.url = `http://localhost:${server.port}`;
    server.store = store ?? `sqlite:${join(server.folder, "postern.db")}`;
    server.secret = secret ?? join(server.folder, "secret");
    server.settings = ["--store-url", server.store, "--secret-file", server.secret];
    server.name = name;
    server.args = args;
    if (!secret && !empty) {
      const owner = ["--workspace", "Acme", "--email", email];
      server.key = (await server.command("init", ...server.settings, ...owner, "--field", "value")).trim();
      const link = await server.command("setup-link", ...server.settings, "--member", email, "--field", "link");
      await server.serve();
      await server.call("POST", "/setup", { token: link.trim().split("#")[1], owner: { password } }, "");
      return server;
    }
    await server.serve();
    return server;
  }

  /** command runs the program to its end, and returns what it printed. */
  command(...args) {
    return new Promise((done, failed) => {
      const child = spawn(binary, args, { env: this.env, cwd: this.folder });
      let [out, err] = ["", ""];
      child.stdout.on("data", (d) => {
        out += d;
      });
      child.stderr.on("data", (d) => {
        err += d;
      });
      child.on("error", failed);
      child.on("close", (code) => (code === 0 ? done(out) : failed(new Error(`postern ${args[0]}: ${code}\n${err}`))));
    });
  }

  async serve() {
    this.log = "";
    const args = [
      "serve",
      ...this.settings,
      "--listen",
      `localhost:${this.port}`,
      "--node-name",
      this.name,
      ...this.args,
    ];
    this.child = spawn(binary, args, { env: this.env, cwd: this.folder });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on("data", (d) => {
        this.log += d;
      });
    }
    await until(
      `${this.name} answers`,
      () => fetch(`${this.url}/${this.key ? "readyz" : "healthz"}`).then((r) => r.ok),
      60_000,
    ).catch((e) => {
      throw new Error(`${e.message}\n${this.log}`);
    });
  }

  async stop() {
    if (this.child.exitCode === null) {
      const gone = new Promise((done) => this.child.on("close", done));
      this.child.kill("SIGCONT");
      this.child.kill("SIGTERM");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** call asks the API, as the owner unless another key is given. */
  async call(method, path, body, key = this.key) {
    const answer = await fetch(`${this.url}/v1${path}`, {
      method,
      headers: { ...(key && { Authorization: `Bearer ${key}` }), ...(body && { "Content-Type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const data = text ? JSON.parse(text) : undefined;
    if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${answer.status} ${text}`), { data });
    return data;
  }

  get = (path) => this.call("GET", path);
  post = (path, body, key) => this.call("POST", path, body ?? {}, key);

  /** use verifies a key, as a service does for its caller. */
  use(value, { ip = "10.2.0.7", agent = "curl/8.5", permission = "agents:execute" } = {}) {
    return this.post("/verify", { key: value, permissions: [permission], source: { ip, user_agent: agent } });
  }
}

/** email and password are what the owner signs in with. */
export const email = "maya@example.com";
const password = "a long enough password";

/** until waits until something is so. */
export async function until(what, check, within = 30_000) {
  const end = Date.now() + within;
  for (;;) {
    const so = await Promise.resolve()
      .then(check)
      .catch(() => false);
    if (so) return so;
    if (Date.now() > end) throw new Error(`after ${within} ms it is not so that ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** becomes waits until what is read is what is wanted, and fails with both if it never is. */
export async function becomes(want, read, why) {
  let got;
  const same = async () => {
    got = await read();
    return isDeepStrictEqual(got, want);
  };
  await until("", same).catch(() => assert.deepEqual(got, want, why));
}

/** lasting is what is found wrong with a page, and goes on being wrong: while a page comes
    to be, it may be for a moment what it is not to stay. */
export async function lasting(look, within = 5_000) {
  let found = [];
  await until(
    "nothing is wrong",
    async () => {
      found = await look();
      return found.length === 0;
    },
    within,
  ).catch(() => undefined);
  return found;
}

/** tooWide is what of a page goes beyond its sides. */
export const tooWide = (page) =>
  page.evaluate(() =>
    [document.documentElement, ...document.querySelectorAll(".dialog, .drawer, .table-wrap")]
      .map((e) => [e.className || e.localName, e.scrollWidth - e.clientWidth])
      .flatMap(([name, over]) => (over > 0 ? [`${name} is ${over} px too wide`] : [])),
  );

/** copied is what Copy puts on the clipboard of a page, which is some time after it is
    pressed. */
export async function copied(page, what = /^pst_/) {
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  return clipboard(page, what);
}

/** clipboard is what is on the clipboard once it looks as it should. */
export const clipboard = (page, what) =>
  until(`${what} is on the clipboard`, async () => {
    const text = await page.evaluate(() => navigator.clipboard.readText());
    return what.test(text) && text;
  });

const W = "/workspaces/-";

/** fill puts into a workspace what every screen has something to show of. */
export async function fill(server) {
  await server.call("PUT", `${W}/permissions`, [
    { type: "agents", title: "Agents", actions: [] },
    { type: "tickets", title: "Tickets", actions: ["close"] },
  ]);
  await server.post(`${W}/roles`, {
    name: "ticket-bot",
    title: "Ticket bot",
    permissions: ["tickets:read", "tickets:close"],
  });
  const accounts = [
    ["support-bot-prod", "Owner: Support Platform", "Support Platform", "operator"],
    ["ci-deploy", "Deploys from the pipeline.", "Developer Experience", "editor"],
    ["webhook-relay", "Forwards events to the data lake.", "Data", "viewer"],
    ["billing-sync", "Nightly invoices.", "Finance Systems", "ticket-bot"],
    ["legacy-importer", "", "", "admin"],
    ["old-bot", "Replaced by support-bot-prod.", "Support Platform", "operator"],
    ["staging-bot", "Trials.", "Support Platform", "operator"],
  ];
  for (const [name, description, owner, role] of accounts) {
    await server.post(`${W}/service_accounts`, { name, description, owner, role });
  }
  const made = {};
  const key = async (account, name, more = {}) => {
    made[name] = await server.post(`${W}/service_accounts/${account}/keys`, { name, expires_in: "90d", ...more });
  };
  await key("support-bot-prod", "prod-2026-08");
  await key("support-bot-prod", "trial");
  await key("ci-deploy", "pipeline", { expires_in: "2d" });
  await key("webhook-relay", "relay", { allowed_networks: ["10.0.0.0/8"], limit: ["tickets:read"] });
  await key("old-bot", "v1");
  await server.post(`${W}/keys/${made.trial.id}/revoke`, { reason: "unused" });
  await server.post(`${W}/service_accounts/old-bot/revoke`, { reason: "replaced" });
  await server.post(`${W}/service_accounts/staging-bot/pause`, {});
  await server.post(`${W}/invitations`, { email: "sam@example.com", role: "viewer" });
  const invited = await server.post(`${W}/invitations`, { email: "jo.park@example.com", role: "viewer" });
  const body = { token: invited.token, name: "Jo Park", key: { name: "laptop" } };
  const jo = await fetch(`${server.url}/v1/invitations/accept`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }).then((r) => r.json());
  await server.post(`${W}/me/keys`, { name: "scripts" });
  for (let i = 0; i < 24; i++) {
    await server.use(made["prod-2026-08"].value, { ip: `10.2.0.${7 + (i % 3)}` });
    await server.use(made.pipeline.value, { permission: i % 4 ? "agents:execute" : "billing:write", ip: "10.9.1.4" });
  }
  const rotation = await server.post(`${W}/keys/${made["prod-2026-08"].id}/rotations`, {});
  await server.use(rotation.new_key.value, { ip: "10.2.0.9" });
  const events = await server.get(`${W}/audit_events?limit=1&action=role.created`);
  return { keys: made, rotation: rotation.rotation, jo, event: events.data[0] };
}

/** documented are the methods and paths of the API's document, as what matches them. */
const documented = Object.entries(
  JSON.parse(readFileSync(resolve(import.meta.dirname, "../../api/openapi.json"), "utf8")).paths,
).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => new RegExp(`^${method} ${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`, "i")),
);

/** isDocumented reports whether a request of the console is an operation of the API's
    document, or for something that is no operation: a page, or a part of one. */
function isDocumented(request) {
  const { pathname } = new URL(request.url());
  return !pathname.startsWith("/v1/") || documented.some((o) => o.test(`${request.method()} ${pathname}`));
}

/** Browser is a Chromium whose pages are listened to. */
export class Browser {
  static async start() {
    const executablePath = process.env.CONSOLE_CHROMIUM ?? browsers.find((b) => existsSync(b));
    if (!executablePath)
      throw new Error(`there is no Chromium: install the package chromium (looked at ${browsers.join(", ")})`);
    mkdirSync(pictures, { recursive: true });
    const browser = new Browser();
    browser.chromium = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
    browser.wrong = [];
    return browser;
  }

  stop = () => this.chromium.close();

  /** page opens a page of the server, for its owner. What goes wrong in it is kept in
      wrong; failed says that answers of the API are to fail in this one. */
  async page(
    server,
    {
      signedIn = Boolean(server.key),
      scheme = "light",
      width = 1280,
      height = 860,
      failed = false,
      reduced = true,
    } = {},
  ) {
    const context = await this.chromium.newContext({
      baseURL: server.url,
      viewport: { width, height },
      colorScheme: scheme,
      reducedMotion: reduced ? "reduce" : "no-preference",
      permissions: ["clipboard-read", "clipboard-write"],
    });
    if (signedIn) {
      const answer = await context.request.post("/v1/sessions", { data: { email, password } });
      if (!answer.ok()) throw new Error(`signing in: ${answer.status()} ${await answer.text()}`);
    }
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const note = (text) => this.wrong.push(`${new URL(page.url()).pathname}: ${text}`);
    page.on("pageerror", (e) => note(e.message));
    page.on("request", (r) => isDocumented(r) || note(`not an operation of the API: ${r.method()} ${r.url()}`));
    page.on("console", (m) => {
      const expected = failed && m.text().startsWith("Failed to load resource");
      if (["error", "warning"].includes(m.type()) && !expected) note(m.text());
    });
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (e) =>
        console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`),
      );
    });
    return page;
  }
}
