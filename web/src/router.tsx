import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent as lazy,
  redirect,
} from "@tanstack/react-router";
import { problemOf } from "./api/problem";
import { whoami } from "./api/queries";
import { Broken, Nowhere } from "./shell/nowhere";
import { AccountShell, Shell } from "./shell/shell";

interface Context {
  queries: QueryClient;
}

const root = createRootRouteWithContext<Context>()({ notFoundComponent: Nowhere, errorComponent: Broken });

const index = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: async ({ context }) => {
    const me = await context.queries.ensureQueryData(whoami).catch((error: unknown) => {
      throw problemOf(error).status === 401 ? redirect({ to: "/signin" }) : error;
    });
    throw redirect({ to: "/w/$ws", params: { ws: me.principal.workspace.slug } });
  },
});

const signin = createRoute({
  getParentRoute: () => root,
  path: "signin",
  validateSearch: (search: Record<string, unknown>): { to?: string } => texts(search, ["to"]),
  component: lazy(() => import("./screens/signin/signin"), "SignIn"),
});

const setup = createRoute({
  getParentRoute: () => root,
  path: "setup",
  component: lazy(() => import("./screens/signin/setup"), "Setup"),
});

const accept = createRoute({
  getParentRoute: () => root,
  path: "invite",
  component: lazy(() => import("./screens/signin/invite"), "AcceptInvitation"),
});

const device = createRoute({
  getParentRoute: () => root,
  path: "device",
  validateSearch: (search: Record<string, unknown>): { user_code?: string } => texts(search, ["user_code"]),
  component: lazy(() => import("./screens/signin/device"), "Device"),
});

const me = createRoute({ getParentRoute: () => root, path: "account", component: AccountShell });

const myAccount = createRoute({
  getParentRoute: () => me,
  path: "/",
  component: lazy(() => import("./screens/me/account"), "Account"),
});

const workspace = createRoute({ getParentRoute: () => root, path: "w/$ws", component: Shell });

const overview = createRoute({
  getParentRoute: () => workspace,
  path: "/",
  component: lazy(() => import("./screens/overview/overview"), "Overview"),
});

const settings = createRoute({ getParentRoute: () => workspace, path: "settings" });

/** texts keeps those of some names that an address gives as text. */
function texts<const Name extends string>(
  search: Record<string, unknown>,
  names: readonly Name[],
): { [K in Name]?: string } {
  const given = names.filter((n) => typeof search[n] === "string" || typeof search[n] === "number");
  return Object.fromEntries(given.map((n) => [n, String(search[n])])) as never;
}

/** oneOf keeps a value of an address that is one of some. */
function oneOf<const V extends string, const N extends string>(
  search: Record<string, unknown>,
  name: N,
  values: readonly V[],
) {
  const found = values.find((v) => v === search[name]);
  return (found === undefined ? {} : { [name]: found }) as { [K in N]?: V };
}

/** AccountSearch is what the address of the list of accounts says of it. */
export interface AccountSearch {
  state?: "paused" | "inactive" | "all";
  role?: string;
  owner?: string;
  need?: (typeof needs)[number];
  q?: string;
  sort?: (typeof accountOrders)[number];
}

const needs = ["owner", "keys", "less_power"] as const;

const accountOrders = ["-name", "owner", "-owner", "role", "-role", "last_used", "-last_used"] as const;

const accounts = createRoute({
  getParentRoute: () => settings,
  path: "service-accounts",
  validateSearch: (search: Record<string, unknown>): AccountSearch => ({
    ...oneOf(search, "state", ["paused", "inactive", "all"]),
    ...texts(search, ["role", "owner", "q"]),
    ...oneOf(search, "need", needs),
    ...oneOf(search, "sort", accountOrders),
  }),
  component: lazy(() => import("./screens/accounts/list"), "AccountList"),
});

const newAccount = createRoute({
  getParentRoute: () => accounts,
  path: "new",
  validateSearch: (search: Record<string, unknown>): { move?: string } => texts(search, ["move"]),
  component: lazy(() => import("./screens/accounts/new"), "NewAccount"),
});

const account = createRoute({
  getParentRoute: () => settings,
  path: "service-accounts/$sa",
  component: lazy(() => import("./screens/accounts/account"), "AccountPage"),
});

const accountKeys = createRoute({
  getParentRoute: () => account,
  id: "keys",
  component: lazy(() => import("./screens/accounts/keys"), "AccountKeys"),
});

const accountIndex = createRoute({ getParentRoute: () => accountKeys, path: "/" });

const accountNewKey = createRoute({
  getParentRoute: () => accountKeys,
  path: "keys/new",
  component: lazy(() => import("./screens/accounts/newkey"), "NewAccountKey"),
});

const accountKey = createRoute({
  getParentRoute: () => accountKeys,
  path: "keys/$key",
  component: lazy(() => import("./screens/accounts/key"), "AccountKey"),
});

const accountKeyRevoke = createRoute({
  getParentRoute: () => accountKeys,
  path: "keys/$key/revoke",
  component: lazy(() => import("./screens/accounts/revokekey"), "RevokeAccountKey"),
});

const accountKeyRotate = createRoute({
  getParentRoute: () => accountKeys,
  path: "keys/$key/rotate",
  component: lazy(() => import("./screens/rotations/start"), "StartRotation"),
});

const accountRotation = createRoute({
  getParentRoute: () => account,
  path: "rotations/$rot",
  component: lazy(() => import("./screens/rotations/assistant"), "Assistant"),
});

const accountRotationChange = createRoute({
  getParentRoute: () => accountRotation,
  path: "change",
  component: lazy(() => import("./screens/rotations/change"), "ChangeRotation"),
});

const accountKeyEdit = createRoute({
  getParentRoute: () => accountKeys,
  path: "keys/$key/edit",
  component: lazy(() => import("./screens/accounts/editkey"), "EditAccountKey"),
});

const accountRevoke = createRoute({
  getParentRoute: () => accountKeys,
  path: "revoke",
  component: lazy(() => import("./screens/accounts/revoke"), "RevokeAccount"),
});

const accountRole = createRoute({
  getParentRoute: () => accountKeys,
  path: "role",
  component: lazy(() => import("./screens/accounts/role"), "ChangeAccountRole"),
});

const accountPermissions = createRoute({
  getParentRoute: () => account,
  path: "permissions",
  component: lazy(() => import("./screens/accounts/permissions"), "AccountPermissions"),
});

const accountAudit = createRoute({
  getParentRoute: () => account,
  path: "audit",
  validateSearch: (search: Record<string, unknown>): { by?: "actor" } => oneOf(search, "by", ["actor"]),
  component: lazy(() => import("./screens/accounts/audit"), "AccountAudit"),
});

const accountSettings = createRoute({
  getParentRoute: () => account,
  path: "settings",
  component: lazy(() => import("./screens/accounts/settings"), "AccountSettings"),
});

/** KeySearch is what the address of the list of API keys says of it. */
export interface KeySearch {
  of?: "everyone";
  q?: string;
  state?: "active" | "paused" | "expired" | "revoked";
  traffic?: "machine";
}

const apiKeys = createRoute({
  getParentRoute: () => settings,
  path: "api-keys",
  validateSearch: (search: Record<string, unknown>): KeySearch => ({
    ...oneOf(search, "of", ["everyone"]),
    ...texts(search, ["q"]),
    ...oneOf(search, "state", ["active", "paused", "expired", "revoked"]),
    ...oneOf(search, "traffic", ["machine"]),
  }),
  component: lazy(() => import("./screens/keys/mine"), "APIKeys"),
});

const newApiKey = createRoute({
  getParentRoute: () => apiKeys,
  path: "new",
  component: lazy(() => import("./screens/keys/newmine"), "NewAPIKey"),
});

const apiKey = createRoute({
  getParentRoute: () => apiKeys,
  path: "$key",
  component: lazy(() => import("./screens/keys/drawer"), "APIKeyDrawer"),
});

const apiKeyRevoke = createRoute({
  getParentRoute: () => apiKeys,
  path: "$key/revoke",
  component: lazy(() => import("./screens/keys/revokemine"), "RevokeAPIKey"),
});

/** MemberSearch is what the address of the list of members says of it. */
export interface MemberSearch {
  q?: string;
  state?: "removed";
}

const members = createRoute({
  getParentRoute: () => settings,
  path: "members",
  validateSearch: (search: Record<string, unknown>): MemberSearch => ({
    ...texts(search, ["q"]),
    ...oneOf(search, "state", ["removed"]),
  }),
  component: lazy(() => import("./screens/people/members"), "Members"),
});

const invite = createRoute({
  getParentRoute: () => members,
  path: "invite",
  component: lazy(() => import("./screens/people/invite"), "Invite"),
});

const memberRemove = createRoute({
  getParentRoute: () => members,
  path: "$member/remove",
  component: lazy(() => import("./screens/people/remove"), "RemoveMember"),
});

const memberRole = createRoute({
  getParentRoute: () => members,
  path: "$member/role",
  component: lazy(() => import("./screens/people/role"), "ChangeMemberRole"),
});

const roles = createRoute({
  getParentRoute: () => settings,
  path: "roles",
  component: lazy(() => import("./screens/roles/list"), "Roles"),
});

const newRole = createRoute({
  getParentRoute: () => settings,
  path: "roles/new",
  validateSearch: (search: Record<string, unknown>): { from?: string; name?: string } =>
    texts(search, ["from", "name"]),
  component: lazy(() => import("./screens/roles/new"), "NewRole"),
});

const role = createRoute({
  getParentRoute: () => settings,
  path: "roles/$role",
  component: lazy(() => import("./screens/roles/role"), "RolePage"),
});

const nodes = createRoute({
  getParentRoute: () => settings,
  path: "nodes",
  component: lazy(() => import("./screens/settings/nodes"), "Nodes"),
});

const drill = createRoute({
  getParentRoute: () => nodes,
  path: "drill",
  component: lazy(() => import("./screens/settings/drill"), "Drill"),
});

const general = createRoute({
  getParentRoute: () => settings,
  path: "general",
  component: lazy(() => import("./screens/settings/general"), "General"),
});

/** AuditSearch is what the address of the audit log says of it. */
export interface AuditSearch {
  from?: string;
  to?: string;
  actor?: string;
  actor_type?: "member" | "service_account" | "system" | "anonymous";
  action?: string;
  target?: string;
  outcome?: "done" | "refused";
  q?: string;
  /** The list stands still, whatever happens. */
  live?: "off";
}

const audit = createRoute({
  getParentRoute: () => workspace,
  path: "audit",
  validateSearch: (search: Record<string, unknown>): AuditSearch => ({
    ...texts(search, ["from", "to", "actor", "action", "target", "q"]),
    ...oneOf(search, "actor_type", ["member", "service_account", "system", "anonymous"]),
    ...oneOf(search, "outcome", ["done", "refused"]),
    ...oneOf(search, "live", ["off"]),
  }),
  component: lazy(() => import("./screens/audit/log"), "AuditLog"),
});

const auditEvent = createRoute({
  getParentRoute: () => audit,
  path: "$evt",
  component: lazy(() => import("./screens/audit/event"), "AuditEventDrawer"),
});

const routes = root.addChildren([
  index,
  signin,
  setup,
  accept,
  device,
  me.addChildren([myAccount]),
  workspace.addChildren([
    overview,
    audit.addChildren([auditEvent]),
    settings.addChildren([
      accounts.addChildren([newAccount]),
      account.addChildren([
        accountKeys.addChildren([
          accountIndex,
          accountNewKey,
          accountKey,
          accountKeyRevoke,
          accountKeyEdit,
          accountKeyRotate,
          accountRevoke,
          accountRole,
        ]),
        accountRotation.addChildren([accountRotationChange]),
        accountPermissions,
        accountAudit,
        accountSettings,
      ]),
      apiKeys.addChildren([newApiKey, apiKey, apiKeyRevoke]),
      members.addChildren([invite, memberRemove, memberRole]),
      roles,
      newRole,
      role,
      nodes.addChildren([drill]),
      general,
    ]),
  ]),
]);

/** createConsole returns the console: what is shown at which address. */
export function createConsole(queries: QueryClient) {
  return createRouter({ routeTree: routes, context: { queries }, defaultPreload: "intent", scrollRestoration: true });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createConsole>;
  }
}
