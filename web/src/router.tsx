import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { Shell } from "./shell/shell";

interface Context {
  queries: QueryClient;
}

const root = createRootRouteWithContext<Context>()({});

const index = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/w/$ws/settings/service-accounts", params: { ws: "-" } });
  },
});

const workspace = createRoute({ getParentRoute: () => root, path: "/w/$ws", component: Shell });

const settings = createRoute({ getParentRoute: () => workspace, path: "settings" });

/** AccountSearch is what the address of the list of accounts says of it. */
export interface AccountSearch {
  state?: "inactive" | "all";
  role?: string;
  owner?: string;
  q?: string;
  sort?: string;
}

/** texts keeps those of some names that an address gives as text. */
function texts<Name extends string>(search: Record<string, unknown>, names: readonly Name[]): { [K in Name]?: string } {
  return Object.fromEntries(names.filter((n) => typeof search[n] === "string").map((n) => [n, search[n]])) as never;
}

const accounts = createRoute({
  getParentRoute: () => settings,
  path: "service-accounts",
  validateSearch: (search: Record<string, unknown>): AccountSearch => ({
    ...(search.state === "inactive" || search.state === "all" ? { state: search.state } : {}),
    ...texts(search, ["role", "owner", "q", "sort"]),
  }),
  component: lazyRouteComponent(() => import("./screens/accounts/list"), "AccountList"),
});

const newAccount = createRoute({
  getParentRoute: () => accounts,
  path: "new",
  component: lazyRouteComponent(() => import("./screens/accounts/new"), "NewAccount"),
});

const account = createRoute({
  getParentRoute: () => settings,
  path: "service-accounts/$sa",
  component: lazyRouteComponent(() => import("./screens/accounts/account"), "AccountPage"),
});

const routes = root.addChildren([
  index,
  workspace.addChildren([settings.addChildren([accounts.addChildren([newAccount]), account])]),
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
