// Every screen and the states it has: what is looked at in light and dark, wide and
// narrow, and by axe. A screen that is not here fails the test of the table.

const problem = (status, code, title, detail, more = {}) => ({
  status,
  contentType: "application/problem+json",
  body: JSON.stringify({
    type: `/docs/errors/${code}`,
    title,
    status,
    code,
    detail,
    request_id: "req_01jn8x0c2vf3hs5r6tq7w8y9za",
    ...more,
  }),
});

const empty = JSON.stringify({ data: [], has_more: false, next_cursor: null });

/** answers are what the API is made to say in a state. */
export const answers = {
  empty: { contentType: "application/json", body: empty },
  error: problem(500, "internal", "Internal error", "The server's log says more under this request's id."),
  forbidden: problem(403, "permission_denied", "Permission denied", "You do not hold it.", {
    permission: "iam.members:read",
  }),
  stale: problem(503, "stale", "Stale", "This node cannot know whether it has heard of every revocation."),
};

const S = "/w/acme/settings";
const bot = `${S}/service-accounts/support-bot-prod`;

/** screens: path is where it is; states are those besides "filled" and the call that
    is made to answer so; ready is what is on it when it is there. without says why a
    screen has fewer states than all. What is a dialog, what is another look of a screen,
    and what asks the server nothing before somebody acts, has none of its own. */
export const screens = (world) => [
  {
    name: "overview",
    path: "/w/acme",
    ready: "Overview",
    call: "**/overview",
    states: ["error"],
    without: "it always has numbers; what one may not see of them is left out",
  },
  {
    name: "accounts",
    path: `${S}/service-accounts`,
    ready: "Service accounts",
    call: "**/service_accounts?*",
    states: ["empty", "error", "forbidden", "stale"],
  },
  {
    name: "accounts-none-match",
    path: `${S}/service-accounts?q=nothing-is-called-this`,
    ready: "Service accounts",
    of: "accounts",
  },
  { name: "accounts-all", path: `${S}/service-accounts?state=all`, ready: "Service accounts", of: "accounts" },
  { name: "account-new", path: `${S}/service-accounts/new`, ready: "New service account", dialog: true },
  {
    name: "account-move",
    path: `${S}/service-accounts/new?move=${world.jo.key.id}`,
    ready: "Move laptop to a service account",
    dialog: true,
  },
  {
    name: "account-keys",
    path: bot,
    ready: "support-bot-prod",
    call: "**/support-bot-prod/keys?*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "account-paused", path: `${S}/service-accounts/staging-bot`, ready: "staging-bot", of: "account-keys" },
  { name: "account-inactive", path: `${S}/service-accounts/old-bot`, ready: "old-bot", of: "account-keys" },
  {
    name: "account-gone",
    path: `${S}/service-accounts/never-was`,
    ready: "Not found",
    failed: true,
    of: "account-keys",
  },
  {
    name: "account-permissions",
    path: `${bot}/permissions`,
    ready: "What it may do",
    call: "**/service_accounts/*/permissions",
    states: ["empty", "error", "forbidden"],
  },
  {
    name: "account-audit",
    path: `${bot}/audit`,
    ready: "Done to it",
    call: "**/audit_events*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "account-settings", path: `${bot}/settings`, ready: "Danger zone", of: "account-keys" },
  { name: "account-revoke", path: `${bot}/revoke`, ready: "Revoke support-bot-prod?", dialog: true },
  { name: "account-role", path: `${bot}/role`, ready: "Change the role of support-bot-prod", dialog: true },
  { name: "key-new", path: `${bot}/keys/new`, ready: "New key", dialog: true },
  { name: "key", path: `${bot}/keys/${world.keys["prod-2026-08"].id}`, ready: "Traffic in 30 days", dialog: true },
  {
    name: "key-edit",
    path: `${bot}/keys/${world.keys["prod-2026-08"].id}/edit`,
    ready: "Edit prod-2026-08",
    dialog: true,
  },
  {
    name: "key-revoke",
    path: `${bot}/keys/${world.keys["prod-2026-08"].id}/revoke`,
    ready: "Revoke prod-2026-08?",
    dialog: true,
  },
  {
    name: "key-rotate",
    path: `${S}/service-accounts/ci-deploy/keys/${world.keys.pipeline.id}/rotate`,
    ready: "Rotate pipeline",
    dialog: true,
  },
  { name: "rotation", path: `${bot}/rotations/${world.rotation.id}`, ready: "Cancel rotation", of: "account-keys" },
  {
    name: "rotation-change",
    path: `${bot}/rotations/${world.rotation.id}/change`,
    ready: "Change when it may end",
    dialog: true,
  },
  {
    name: "api-keys",
    path: `${S}/api-keys`,
    ready: "API keys",
    call: "**/me/keys*",
    states: ["empty", "error", "forbidden"],
  },
  {
    name: "api-keys-everyone",
    path: `${S}/api-keys?of=everyone`,
    ready: "API keys",
    call: "**/keys?*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "api-key-new", path: `${S}/api-keys/new`, ready: "New API key", dialog: true },
  { name: "api-key", path: `${S}/api-keys/${world.jo.key.id}`, ready: "Where it is used from", dialog: true },
  { name: "api-key-revoke", path: `${S}/api-keys/${world.jo.key.id}/revoke`, ready: "Revoke laptop?", dialog: true },
  {
    name: "members",
    path: `${S}/members`,
    ready: "Members",
    call: "**/members?*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "member-invite", path: `${S}/members/invite`, ready: "Invite a person", dialog: true },
  {
    name: "member-role",
    path: `${S}/members/${world.jo.member.id}/role`,
    ready: "Change the role of Jo Park",
    dialog: true,
  },
  { name: "member-remove", path: `${S}/members/${world.jo.member.id}/remove`, ready: "Remove Jo Park?", dialog: true },
  {
    name: "roles",
    path: `${S}/roles`,
    ready: "Roles",
    call: "**/roles?*",
    states: ["error", "forbidden"],
    without: "some are built in",
  },
  { name: "role-new", path: `${S}/roles/new`, ready: "New role", of: "roles" },
  { name: "role", path: `${S}/roles/ticket-bot`, ready: "Ticket bot", of: "roles" },
  { name: "role-built-in", path: `${S}/roles/operator`, ready: "Operator", of: "roles" },
  {
    name: "nodes",
    path: `${S}/nodes`,
    ready: "Nodes",
    call: "**/v1/**/nodes?*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "drill", path: `${S}/nodes/drill`, ready: "Start the drill", dialog: true },
  {
    name: "general",
    path: `${S}/general`,
    ready: "General",
    call: "**/v1/workspaces/acme",
    states: ["error", "forbidden"],
    without: "a workspace always has a name",
  },
  {
    name: "audit",
    path: "/w/acme/audit",
    ready: "Audit log",
    call: "**/audit_events*",
    states: ["empty", "error", "forbidden"],
  },
  { name: "audit-event", path: `/w/acme/audit/${world.event.id}`, ready: "As JSON", dialog: true },
  { name: "signin", path: "/signin", ready: "Sign in", alone: true },
  { name: "setup", path: "/setup#setup_example", ready: "Set up Postern", fresh: true, alone: true },
  { name: "invite", path: "/invite#inv_example", ready: "Join the workspace", fresh: true, alone: true },
  { name: "link-not-complete", path: "/invite", ready: "This link is not complete", fresh: true, alone: true },
  { name: "device", path: "/device", ready: "Sign in a device", fresh: true, alone: true },
  {
    name: "my-account",
    path: "/account",
    ready: "Your account",
    call: "**/v1/sessions/current",
    states: ["error"],
    without: "it is of oneself, which nobody may not see",
  },
  { name: "nowhere", path: "/w/acme/nothing/here", ready: "There is nothing at this address", alone: true },
];

/** gaps are the cells of the table that are missing: each screen has every state, or
    says why not. */
export function gaps(table) {
  const all = ["empty", "error", "forbidden"];
  const named = new Set(table.map((s) => s.name));
  return table.flatMap((s) => {
    if (s.dialog || s.alone || named.has(s.of)) return [];
    if (!s.states?.includes("error")) return [`${s.name}: error`];
    return s.without ? [] : all.filter((state) => !s.states.includes(state)).map((state) => `${s.name}: ${state}`);
  });
}
