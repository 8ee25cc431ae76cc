import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, data, type Schema } from "./client";
import { listed, present } from "./lists";

export type ServiceAccount = Schema["ServiceAccount"];
export type Key = Schema["Key"];
export type Role = Schema["Role"];
export type Member = Schema["Member"];
export type Invitation = Schema["Invitation"];
export type AuditEvent = Schema["AuditEvent"];
export type Node = Schema["Node"];
export type Receipt = Schema["Receipt"];
export type Whoami = Schema["Whoami"];
export type Workspace = Schema["Workspace"];
export type PermissionType = Schema["PermissionType"];

/** live is after how many milliseconds what shows how keys are used is asked for again:
    a call is to be seen within two seconds of it, of which the server takes up to one. */
const live = 500;

/** whoami is who the page acts as, and what that allows. */
export const whoami = queryOptions({
  queryKey: ["whoami"] as const,
  queryFn: ({ signal }) => data(api.GET("/v1/whoami", { signal })),
  staleTime: 60_000,
});

/** workspace is the workspace that a page is in. */
export const workspace = (ws: string) =>
  queryOptions({
    queryKey: [ws, "workspace"] as const,
    queryFn: ({ signal }) => data(api.GET("/v1/workspaces/{workspace}", { params: inside(ws), signal })),
  });

function inside(ws: string): { path: { workspace: string } } {
  return { path: { workspace: ws } };
}

/** AccountFilters are what the list of accounts is narrowed by. */
export interface AccountFilters {
  state?: "active" | "paused" | "inactive" | undefined;
  role?: string | undefined;
  owner?: string | undefined;
  need?: "owner" | "keys" | "less_power" | undefined;
  q?: string | undefined;
  sort?: string | undefined;
}

/** accounts are the service accounts of a workspace. */
export const accounts = (ws: string, filters: AccountFilters) => ({
  ...listed<ServiceAccount>([ws, "accounts", present(filters)], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/service_accounts", {
        params: { ...inside(ws), query: present({ ...filters, cursor }) },
        signal,
      }),
    ),
  ),
  refetchInterval: live,
});

/** accountCounts are how many accounts of each state some filters let through. */
export const accountCounts = (ws: string, filters: Omit<AccountFilters, "state" | "sort">) =>
  queryOptions({
    queryKey: [ws, "accounts", "counts", present(filters)] as const,
    queryFn: async ({ signal }) =>
      (
        await data(
          api.GET("/v1/workspaces/{workspace}/service_accounts", {
            params: { ...inside(ws), query: { ...present(filters), counts: true, limit: 1 } },
            signal,
          }),
        )
      ).counts,
    placeholderData: keepPreviousData,
  });

/** accountNamed is the account that has a name, or had it: names are not given twice. */
export const accountNamed = (ws: string, name: string) =>
  queryOptions({
    queryKey: [ws, "accounts", "named", name] as const,
    queryFn: async ({ signal }) =>
      (
        await data(
          api.GET("/v1/workspaces/{workspace}/service_accounts", {
            params: { ...inside(ws), query: { name, limit: 1 } },
            signal,
          }),
        )
      ).data[0] ?? null,
  });

/** account is one service account, by name or id. */
export const account = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "account", id] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts/{id}", {
          params: { path: { workspace: ws, id } },
          signal,
        }),
      ),
    refetchInterval: live,
  });

/** accountKeys are the keys of one account. */
export const accountKeys = (ws: string, id: string) => ({
  ...listed<Key>([ws, "keys", "of", id], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/service_accounts/{id}/keys", {
        params: { path: { workspace: ws, id }, query: present({ limit: 100, cursor }) },
        signal,
      }),
    ),
  ),
  refetchInterval: live,
});

/** KeyFilters are what the inventory of keys is narrowed by. */
export interface KeyFilters {
  principal?: string | undefined;
  principal_type?: "member" | "service_account" | undefined;
  state?: "active" | "paused" | "expired" | "revoked" | undefined;
  expires_before?: string | undefined;
  unused_for?: string | undefined;
  machine_like?: boolean | undefined;
  q?: string | undefined;
}

/** keys are all keys of a workspace that the caller may see. */
export const keys = (ws: string, filters: KeyFilters) =>
  listed<Key>([ws, "keys", present(filters)], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/keys", {
        params: { ...inside(ws), query: present({ ...filters, cursor }) },
        signal,
      }),
    ),
  );

/** myKeys are the personal keys of who is signed in. */
export const myKeys = (ws: string) =>
  listed<Key>([ws, "keys", "mine"], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/me/keys", { params: { ...inside(ws), query: present({ cursor }) }, signal }),
    ),
  );

/** key is one key. */
export const key = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "key", id] as const,
    queryFn: ({ signal }) =>
      data(api.GET("/v1/workspaces/{workspace}/keys/{id}", { params: { path: { workspace: ws, id } }, signal })),
  });

/** roles are all roles of a workspace. */
export const roles = (ws: string) =>
  queryOptions({
    queryKey: [ws, "roles"] as const,
    queryFn: async ({ signal }) => {
      const all: Role[] = [];
      for (let cursor: string | undefined; ; ) {
        const page = await data(
          api.GET("/v1/workspaces/{workspace}/roles", {
            params: { ...inside(ws), query: present({ limit: 200, cursor }) },
            signal,
          }),
        );
        all.push(...page.data);
        if (!page.next_cursor) return all;
        cursor = page.next_cursor;
      }
    },
  });

/** role is one role, by name or id. */
export const role = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "role", id] as const,
    queryFn: ({ signal }) =>
      data(api.GET("/v1/workspaces/{workspace}/roles/{id}", { params: { path: { workspace: ws, id } }, signal })),
  });

/** permissionTypes are the product's own types and actions. */
export const permissionTypes = (ws: string) =>
  queryOptions({
    queryKey: [ws, "permissions"] as const,
    queryFn: async ({ signal }) =>
      (await data(api.GET("/v1/workspaces/{workspace}/permissions", { params: inside(ws), signal }))).data,
  });

/** members are the people of a workspace. */
export const members = (ws: string, filters: { q?: string | undefined; state?: "active" | "removed" | undefined }) =>
  listed<Member>([ws, "members", present(filters)], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/members", {
        params: { ...inside(ws), query: present({ ...filters, cursor }) },
        signal,
      }),
    ),
  );

/** member is one member. */
export const member = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "member", id] as const,
    queryFn: ({ signal }) =>
      data(api.GET("/v1/workspaces/{workspace}/members/{id}", { params: { path: { workspace: ws, id } }, signal })),
  });

/** invitations are those that wait for an answer. */
export const invitations = (ws: string) =>
  listed<Invitation>([ws, "invitations"], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/invitations", {
        params: { ...inside(ws), query: present({ state: "pending" as const, cursor }) },
        signal,
      }),
    ),
  );

/** seats are how many people there are, and may be. */
export const seats = (ws: string) =>
  queryOptions({
    queryKey: [ws, "seats"] as const,
    queryFn: ({ signal }) => data(api.GET("/v1/workspaces/{workspace}/seats", { params: inside(ws), signal })),
  });

/** AuditFilters are what the audit log is narrowed by. */
export interface AuditFilters {
  from?: string | undefined;
  to?: string | undefined;
  actor?: string | undefined;
  actor_type?: "member" | "service_account" | "system" | "anonymous" | undefined;
  action?: string | undefined;
  target?: string | undefined;
  outcome?: "done" | "refused" | undefined;
  q?: string | undefined;
}

/** auditEvents are the audit log, the newest first. What stands still of it has a place of
    its own. */
export const auditEvents = (ws: string, filters: AuditFilters, still = false) =>
  listed<AuditEvent>([ws, still ? "audit at rest" : "audit", present(filters)], (cursor, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/audit_events", {
        params: { ...inside(ws), query: present({ ...filters, cursor }) },
        signal,
      }),
    ),
  );

/** auditEvent is one event. */
export const auditEvent = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "audit", "event", id] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/audit_events/{id}", { params: { path: { workspace: ws, id } }, signal }),
      ),
  });

/** nodes are the processes that answer verifications: of thousands, the first by name. */
export const nodes = (ws: string) =>
  queryOptions({
    queryKey: [ws, "nodes"] as const,
    queryFn: async ({ signal }) => {
      const all: Node[] = [];
      let cursor: string | null = null;
      do {
        const query = present({ limit: 200, cursor: cursor ?? undefined });
        const page: Schema["ListNode"] = await data(
          api.GET("/v1/workspaces/{workspace}/nodes", { params: { ...inside(ws), query }, signal }),
        );
        all.push(...page.data);
        cursor = page.next_cursor;
      } while (cursor !== null && all.length < 2000);
      return all;
    },
    refetchInterval: 5_000,
  });

/** serversOf leaves out the verifiers outside, of which there can be hundreds. What a
    server has confirmed, those that follow it have too. */
export const serversOf = (nodes: Node[]) => nodes.filter((n) => n.kind !== "verifier");

/** receipt is what the confirmation of a change rests on. */
export const receipt = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "receipt", id] as const,
    queryFn: ({ signal }) =>
      data(api.GET("/v1/workspaces/{workspace}/receipts/{id}", { params: { path: { workspace: ws, id } }, signal })),
  });

export type Rotation = Schema["Rotation"];

const follow = 2_000; // milliseconds between two looks at a rotation that is under way

/** isOver reports whether a rotation has come to its end. */
export function isOver(of: Pick<Rotation, "state">): boolean {
  return of.state === "completed" || of.state === "cancelled";
}

/** rotation is one rotation, asked for again and again while it is under way. */
export const rotation = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "rotation", id] as const,
    queryFn: ({ signal }) =>
      data(api.GET("/v1/workspaces/{workspace}/rotations/{id}", { params: { path: { workspace: ws, id } }, signal })),
    refetchInterval: (q) => (q.state.data && isOver(q.state.data) ? false : follow),
  });

export type SubjectUsage = Schema["SubjectUsage"];

/** Subjects are what traffic is asked of: some keys, some accounts, or the workspace. */
type Subjects = { keys: string[] } | { service_accounts: string[] } | Record<string, never>;

/** usage is how some things were used, in one request for all that a page shows. */
export const usage = (ws: string, subjects: Subjects, step: "1m" | "1h" | "1d", days: number) =>
  queryOptions({
    queryKey: [ws, "usage", subjects, step, days] as const,
    queryFn: async ({ signal }) =>
      (
        await data(
          api.GET("/v1/workspaces/{workspace}/usage", {
            params: { ...inside(ws), query: { ...subjects, step, days } },
            signal,
          }),
        )
      ).data,
    enabled: Object.values(subjects).every((ids) => ids.length > 0),
    refetchInterval: live,
    placeholderData: keepPreviousData,
  });

/** keyUsage is how one key was used over the last so many steps, and from where. */
export const keyUsage = (ws: string, id: string, step: "1m" | "1h" | "1d", steps: number) =>
  queryOptions({
    queryKey: [ws, "usage", "key", id, step, steps] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/keys/{id}/usage", {
          params: { path: { workspace: ws, id }, query: { step, from: began(step, steps) } },
          signal,
        }),
      ),
    refetchInterval: live,
  });

const lengths = { "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000 };

/** began is when the first of so many steps began, the one that runs included. */
export function began(step: keyof typeof lengths, steps: number, now = Date.now()): string {
  const length = lengths[step];
  return new Date(Math.floor(now / length) * length - (steps - 1) * length).toISOString();
}

/** accountImpact is what stops when an account does. */
export const accountImpact = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "account", id, "impact"] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts/{id}/impact", {
          params: { path: { workspace: ws, id } },
          signal,
        }),
      ),
  });

/** accountHeld is what an account may do, from where, and whether it does. */
export const accountHeld = (ws: string, id: string) =>
  listed<Schema["HeldPermission"]>([ws, "account", id, "held"], (_, signal) =>
    data(
      api.GET("/v1/workspaces/{workspace}/service_accounts/{id}/permissions", {
        params: { path: { workspace: ws, id } },
        signal,
      }),
    ),
  );

/** advice is what an account could do without. */
export const advice = (ws: string, id: string) =>
  queryOptions({
    queryKey: [ws, "account", id, "advice"] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts/{id}/advice", {
          params: { path: { workspace: ws, id } },
          signal,
        }),
      ),
  });

/** roleImpact is whom it touches when a role allows something else. */
export const roleImpact = (ws: string, id: string, permissions: string[]) =>
  queryOptions({
    queryKey: [ws, "role", id, "impact", permissions] as const,
    queryFn: ({ signal }) =>
      data(
        api.POST("/v1/workspaces/{workspace}/roles/{id}/impact", {
          params: { path: { workspace: ws, id } },
          body: { permissions },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

/** overview are the numbers of the first page, and what needs attention. */
export const overview = (ws: string) =>
  queryOptions({
    queryKey: [ws, "overview"] as const,
    queryFn: ({ signal }) => data(api.GET("/v1/workspaces/{workspace}/overview", { params: inside(ws), signal })),
    refetchInterval: 10_000,
  });
