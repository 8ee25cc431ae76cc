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

// Each dialog and whatever can become of what it sends: it stays, with all that was
// typed; it says what happened, in words that take the focus; and nothing says done.

const sa = "/w/acme/settings/service-accounts";

interface Case {
  path: string;
  submit: string;
  /** What is typed, by the name of its field. */
  typed: Record<string, string>;
  /** Something else to choose first, by its name. */
  choose?: RegExp;
  /** A field that the server may find fault with. */
  field?: string;
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
const workspace = { id: "ws_1", slug: "acme", name: "Acme" };
const role = (name: string) => ({
  id: name,
  name,
  title: name,
  description: "",
  kind: "built_in",
  permissions: ["*:read"],
});
const list = (...data: unknown[]) => ({ data, has_more: false, next_cursor: null });

/** known is what the server says of what there is, by the end of the address. */
const known: [RegExp, unknown][] = [
  [
    /\/whoami$/,
    { principal: { id: "mem_1", type: "member", name: "maya", workspace }, permissions: ["*"], role: role("owner") },
  ],
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
  [/\/seats$/, { used: 1, limit: 5, members: 1, invitations: 0 }],
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
const inDialog = (selector: string) => [...(dialog()?.querySelectorAll<HTMLElement>(selector) ?? [])];
const button = (name: string) => inDialog("button").find((b) => b.textContent?.trim() === name) as HTMLElement;
const fieldOf = (name: string) => inDialog(`[name="${name}"]`)[0] as HTMLInputElement;

/** type writes into a field as a person does. */
function type(field: HTMLInputElement, text: string) {
  const of = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(of.prototype, "value")?.set?.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
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
  await settle(() => expect(button(of.submit)).toBeTruthy());
  const form = inDialog("form")[0] as HTMLFormElement | undefined;
  if (form) form.noValidate = true; // what the page itself refuses is not looked at here
  if (of.choose) {
    await settle(() => expect(inDialog("label").some((l) => of.choose?.test(l.textContent ?? ""))).toBe(true));
    await act(async () =>
      inDialog("label")
        .find((l) => of.choose?.test(l.textContent ?? ""))
        ?.click(),
    );
  }
  for (const [name, text] of Object.entries(of.typed)) await act(async () => type(fieldOf(name), text));
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
  for (const [name, text] of Object.entries(of.typed)) expect(fieldOf(name).value).toBe(text);
  expect(location.pathname).toBe(of.path);
  expect(document.querySelector(".toast")).toBeNull();
  expect(dialog()?.textContent).not.toMatch(/Confirmed|Copy the value|is invited/);
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
    const errors =
      status === 422 ? [{ pointer: of.field ?? "/x", code: "x", detail: `detail of ${status}` }] : undefined;
    answer = async () =>
      json({ status, code, title, detail: `detail of ${status}`, errors }, status, "application/problem+json");
    await act(async () => button(of.submit).click());
    await settle(() => expect(document.activeElement?.textContent).toContain(title));
    expect(document.activeElement?.getAttribute("role")).toBe("alert");
    expect(document.activeElement?.textContent).toContain(`detail of ${status}`);
    if (status === 422 && of.field)
      expect(inDialog(".field-error").map((e) => e.textContent)).toContain(`detail of ${status}`);
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
  fieldOf(first).focus();
  await act(async () => type(fieldOf(first), "x"));
  expect(document.activeElement, "the focus stays where one types").toBe(fieldOf(first));
});
