import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createConsole } from "../router";
import { Tips } from "../ui/tip";
import { Toasts } from "../ui/toast";

// The client takes the page's fetch when it is made, before anything here runs.
const network = vi.hoisted(() => {
  const own: { fetch: (request: Request) => Promise<Response> } = {
    fetch: () => Promise.reject(new Error("too early")),
  };
  globalThis.fetch = (request) => own.fetch(request as Request);
  return own;
});

vi.setConfig({ testTimeout: 60_000 });

// Each dialog, and each form of a page, and whatever can become of what it sends: it
// stays, with all that was typed; it says what happened, in words that take the focus;
// and nothing says done.

const sa = "/w/acme/settings/service-accounts";

interface Case {
  path: string;
  /** The button of the page that asks for the dialog, by sending what needs more. */
  asks?: string;
  submit: string;
  /** What is typed, by the name of its field. */
  typed: Record<string, string>;
  /** Something else to choose first, by its name. */
  choose?: RegExp;
  /** A field that the server may find fault with. */
  field?: string;
  /** It has words of its own for a change that came between. */
  conflict?: boolean;
}

const dialogs: Record<string, Case> = {
  "a new account": { path: `${sa}/new`, submit: "Create", typed: { name: "bot", owner: "Data" }, field: "/name" },
  "an account's role": { path: `${sa}/bot/role`, submit: "Change role", typed: {}, choose: /^viewer/i, field: "/role" },
  "the end of an account": { path: `${sa}/bot/revoke`, submit: "Revoke", typed: { reason: "old", confirm: "bot" } },
  "a new key": { path: `${sa}/bot/keys/new`, submit: "Create key", typed: { name: "prod-9" }, field: "/name" },
  "a key's details": {
    path: `${sa}/bot/keys/key_1/edit`,
    submit: "Save",
    typed: { name: "prod-9", networks: "10.0.0.0/8" },
    field: "/allowed_networks",
  },
  "the end of a key": { path: `${sa}/bot/keys/key_1/revoke`, submit: "Revoke", typed: { note: "gone" } },
  "a rotation": { path: `${sa}/bot/keys/key_1/rotate`, submit: "Generate a second key", typed: {} },
  "an API key": {
    path: "/w/acme/settings/api-keys/new",
    submit: "Create key",
    typed: { name: "laptop" },
    field: "/name",
  },
  "an invitation": {
    path: "/w/acme/settings/members/invite",
    submit: "Invite",
    typed: { email: "sam@example.com" },
    field: "/email",
  },
  "a member's role": {
    path: "/w/acme/settings/members/mem_2/role",
    submit: "Change role",
    typed: {},
    choose: /^viewer/i,
    field: "/role",
  },
  "when a rotation may end": {
    path: `${sa}/bot/rotations/rot_1/change`,
    submit: "Save",
    typed: { deadline: "2099-01-02" },
    choose: /^1 h$/,
    field: "/deadline",
  },
  "the end of a rotation": {
    path: `${sa}/bot/rotations/rot_1`,
    submit: "Revoke the old key",
    typed: { confirm: "prod-1" },
  },
  "a trial without the old key": { path: `${sa}/bot/rotations/rot_1`, submit: "For 1 minute", typed: {} },
  "a new role": {
    path: "/w/acme/settings/roles/new",
    submit: "Create role",
    typed: { title: "Tickets", name: "tickets" },
    field: "/name",
  },
  "a role": {
    path: "/w/acme/settings/roles/tickets",
    submit: "Save role",
    typed: { title: "Tickets", description: "x" },
    field: "/title",
    conflict: true,
  },
  "an account's details": {
    path: `${sa}/bot/settings`,
    submit: "Save",
    typed: { name: "bot-2", description: "x", owner: "Data" },
    field: "/owner",
  },
  "a workspace's name": {
    path: "/w/acme/settings/general",
    submit: "Save name",
    typed: { name: "Acme Ltd" },
    field: "/name",
  },
  "a workspace's policy": {
    path: "/w/acme/settings/general",
    submit: "Save policy",
    typed: { quiet_for: "2h", seat_limit: "7" },
    field: "/policy/quiet_for",
  },
  "a fresh proof of who one is": {
    path: `${sa}/bot/settings`,
    asks: "Save",
    submit: "Continue",
    typed: { password: "a long enough password" },
  },
  "the end of a membership": { path: "/w/acme/settings/members/mem_2/remove", submit: "Remove", typed: {} },
};

const refusals: [number, string, string][] = [
  [403, "permission_denied", "Permission denied"],
  [409, "name_taken", "Name taken"],
  [412, "precondition_failed", "It was changed meanwhile"],
  [422, "validation_failed", "Not valid"],
  [429, "rate_limited", "Too many requests"],
  [503, "unavailable", "Unavailable"],
  [504, "outcome_unknown", "Not known yet"],
];

const key = {
  id: "key_1",
  name: "prod-1",
  hint: "pst_sa_…",
  state: "active",
  created_at: "2026-11-01T00:00:00Z",
  created_by: { name: "maya", type: "member", id: "mem_1", state: "active" },
  principal: { id: "sa_1", type: "service_account", name: "bot" },
  allowed_networks: null,
  expires_at: null,
  last_used: null,
  limit: null,
  replaces: null,
  rotation: null,
  revoked: null,
};
const workspace = {
  id: "ws_1",
  slug: "acme",
  name: "Acme",
  etag: '"1"',
  policy: { account_key_default_days: 90, quiet_for: "10m", seat_limit: 5 },
};
const rotation = {
  id: "rot_1",
  state: "overlapping",
  old_key: { id: "key_1", name: "prod-1", state: "active" },
  new_key: { id: "key_2", name: "prod-2", state: "active" },
  principal: key.principal,
  started_at: key.created_at,
  started_by: key.created_by,
  first_use_at: key.created_at,
  ended_at: null,
  ready: false,
  quiet_for: "10m",
  quiet_for_learnt: true,
  quiet_since: null,
  auto_revoke: false,
  deadline: null,
  sources: [],
  blockers: [],
  trial: null,
};
const role = (name: string) => ({
  id: name,
  name,
  title: name,
  description: "",
  kind: "built_in",
  permissions: ["*:read"],
  members: 0,
  service_accounts: 0,
  etag: '"1"',
});
const list = (...data: unknown[]) => ({ data, has_more: false, next_cursor: null });

/** known is what the server says of what there is, by the end of the address. */
const known: [RegExp, unknown][] = [
  [
    /\/whoami$/,
    {
      principal: { id: "mem_1", type: "member", name: "maya", workspace },
      permissions: ["*:*", "iam.*:*"],
      role: role("owner"),
    },
  ],
  [/\/roles\/tickets$/, { ...role("tickets"), kind: "custom" }],
  [/\/rotations\/rot_1$/, rotation],
  [/\/roles$/, list(role("operator"), role("viewer"))],
  [
    /\/service_accounts\/bot$/,
    {
      id: "sa_1",
      name: "bot",
      description: "",
      owner: "",
      role: { id: "operator", name: "operator" },
      state: "active",
      keys: { active: 1, total: 1 },
      last_used: null,
      revoked: null,
      etag: '"1"',
      created_at: key.created_at,
      created_by: key.created_by,
    },
  ],
  [
    /\/members\/mem_2$/,
    {
      id: "mem_2",
      name: "Jo",
      email: "jo@example.com",
      role: { id: "operator", name: "operator" },
      state: "active",
      keys: { active: 1, total: 1 },
      created_at: key.created_at,
      removed_at: null,
    },
  ],
  [/\/keys\/key_1$/, key],
  [/\/impact$/, { active_keys: 1, last_used_at: null, requests_per_minute: 0, sources: [], rotations: [] }],
  [/\/keys\/[^/]+\/usage$/, { points: [], sources: [] }],
  [/\/seats$/, { used: 1, pending: 0, limit: 5 }],
  [/\/workspaces\/acme$/, workspace],
];

/** answer is what a change meets; undefined: nothing answers yet. */
let answer: (() => Promise<Response>) | undefined;
let sent = 0;
let root: Root;

const json = (body: unknown, status = 200, type = "application/json") =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": type } });

async function fetched(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method === "GET") {
    return json(known.find(([path]) => path.test(pathname))?.[1] ?? list());
  }
  sent++;
  return answer ? answer() : new Promise(() => undefined);
}

const settle = (check: () => void) => vi.waitFor(() => act(check), { timeout: 30_000, interval: 20 });
const dialog = () => document.querySelector<HTMLElement>("[role=dialog], [role=alertdialog]");
const place = () => dialog() ?? document.body;
const inPlace = (selector: string) => [...place().querySelectorAll<HTMLElement>(selector)];
const button = (name: string) => inPlace("button").find((b) => b.textContent?.trim() === name) as HTMLElement;
const formOf = (submit: string) => button(submit).closest("form") ?? place();
const fieldOf = (of: Case, name: string) =>
  formOf(of.submit).querySelector<HTMLInputElement>(`[name="${name}"]`) as HTMLInputElement;

/** type writes into a field as a person does. */
function type(field: HTMLInputElement, text: string) {
  const of = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(of.prototype, "value")?.set?.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

const refusal = (status: number, code: string, title: string, more = {}) =>
  json({ status, code, title, detail: `detail of ${status}`, ...more }, status, "application/problem+json");

/** ask has something refused until the person has proved again who they are. */
async function ask(name: string) {
  await settle(() => expect(button(name)).toBeTruthy());
  answer = async () => refusal(403, "step_up_required", "Prove who you are");
  await act(async () => button(name).click());
  await settle(() => expect(dialog()).toBeTruthy());
  [answer, sent] = [undefined, 0];
}

async function open(of: Case) {
  history.replaceState({}, "", of.path);
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, refetchInterval: false } } });
  const place = document.body.appendChild(document.createElement("div"));
  root = createRoot(place);
  await act(async () =>
    root.render(
      <QueryClientProvider client={queries}>
        <Tips>
          <Toasts>
            <RouterProvider router={createConsole(queries)} />
          </Toasts>
        </Tips>
      </QueryClientProvider>,
    ),
  );
  if (of.asks) await ask(of.asks);
  await settle(() => expect(button(of.submit)).toBeTruthy());
  const form = button(of.submit).closest("form");
  if (form) form.noValidate = true; // what the page itself refuses is not looked at here
  if (of.choose) {
    await settle(() => expect(inPlace("label").some((l) => of.choose?.test(l.textContent ?? ""))).toBe(true));
    await act(async () =>
      inPlace("label")
        .find((l) => of.choose?.test(l.textContent ?? ""))
        ?.click(),
    );
  }
  for (const [name, text] of Object.entries(of.typed)) await act(async () => type(fieldOf(of, name), text));
}

beforeEach(() => {
  sent = 0;
  answer = undefined;
  network.fetch = fetched;
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal(
    "EventSource",
    class extends EventTarget {
      close() {}
    },
  );
});

afterEach(async () => {
  await act(async () => root.unmount());
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

function nothingIsLost(of: Case) {
  for (const [name, text] of Object.entries(of.typed)) expect(fieldOf(of, name).value).toBe(text);
  expect(location.pathname).toBe(of.path);
  expect(document.querySelector(".toast")).toBeNull();
  expect(place().textContent).not.toMatch(/Confirmed|Copy the value|is invited/);
}

it.each(Object.entries(dialogs))("%s keeps what was typed, whatever becomes of it", async (_, of) => {
  await open(of);
  await act(async () => button(of.submit).click());
  await settle(() => expect(sent).toBe(1));
  await settle(() => expect(button(of.submit).getAttribute("aria-busy")).toBe("true"));
  nothingIsLost(of);
  await act(async () => button(of.submit).click()); // again, while nothing has answered
  expect(sent).toBe(1);
});

it.each(Object.entries(dialogs))("%s says what was refused, and goes on after it", async (_, of) => {
  await open(of);
  for (const [status, code, title] of refusals) {
    if (status === 412 && of.conflict) continue;
    const errors =
      status === 422 ? [{ pointer: of.field ?? "/x", code: "x", detail: `detail of ${status}` }] : undefined;
    answer = async () => refusal(status, code, title, { errors });
    await act(async () => button(of.submit).click());
    await settle(() => expect(document.activeElement?.textContent).toContain(title));
    expect(document.activeElement?.getAttribute("role")).toBe("alert");
    expect(document.activeElement?.textContent).toContain(`detail of ${status}`);
    if (status === 422 && of.field)
      expect(inPlace(".field-error").map((e) => e.textContent)).toContain(`detail of ${status}`);
    expect(button(of.submit).getAttribute("aria-busy")).toBeNull();
    nothingIsLost(of);
  }
});

it.each(Object.entries(dialogs))("%s outlives the network", async (_, of) => {
  await open(of);
  answer = () => Promise.reject(new TypeError("Failed to fetch"));
  await act(async () => button(of.submit).click());
  await settle(() => expect(document.activeElement?.textContent).toContain("cannot be reached"));
  nothingIsLost(of);
  const first = Object.keys(of.typed).at(-1);
  if (!first) return;
  fieldOf(of, first).focus();
  await act(async () => type(fieldOf(of, first), "x"));
  expect(document.activeElement, "the focus stays where one types").toBe(fieldOf(of, first));
});

it("does not offer a key before it is known what that is limited to", async () => {
  const moved = { ...key, id: "key_9", limit: ["tickets:read"], allowed_networks: ["10.0.0.0/8"] };
  const of = { path: `${sa}/bot/keys/new`, submit: "Create key", typed: {} };
  let early = false;
  network.fetch = async (request) => {
    const { pathname } = new URL(request.url);
    const answer = await fetched(request);
    if (pathname.endsWith("/service_accounts/bot"))
      return json({ ...(await answer.json()), metadata: { moved_from: moved.id } });
    if (!pathname.endsWith(`/keys/${moved.id}`)) return answer;
    for (let n = 0; n < 50 && !early; n++) {
      await new Promise((done) => setTimeout(done, 2));
      early = button(of.submit) !== undefined;
    }
    return json(moved);
  };
  await open(of);
  expect(early).toBe(false);
  expect(fieldOf(of, "limit").value).toBe("tickets:read");
  expect(fieldOf(of, "networks").value).toBe("10.0.0.0/8");
});
