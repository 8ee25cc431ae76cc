import { queryOptions } from "@tanstack/react-query";
import { api, data, type Schema } from "./client";

export type ServiceAccount = Schema["ServiceAccount"];
export type Key = Schema["Key"];
export type Role = Schema["Role"];

/** AccountFilters are what the list of accounts is narrowed by: they stand in the
    page's address. */
export interface AccountFilters {
  state?: "active" | "paused" | "inactive" | undefined;
  role?: string | undefined;
  owner?: string | undefined;
  q?: string | undefined;
  sort?: string | undefined;
}

/** present leaves out what is not there, which an address or the API would take for
    a value. */
export function present<T extends object>(of: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(of).filter(([, v]) => v !== undefined && v !== "")) as never;
}

/** accounts are the service accounts of a workspace, a page at a time. */
export const accounts = (workspace: string, filters: AccountFilters) => ({
  queryKey: [workspace, "accounts", filters] as const,
  initialPageParam: undefined as string | undefined,
  queryFn: ({ pageParam, signal }: { pageParam: string | undefined; signal: AbortSignal }) =>
    data(
      api.GET("/v1/workspaces/{workspace}/service_accounts", {
        params: { path: { workspace }, query: present({ ...filters, cursor: pageParam }) },
        signal,
      }),
    ),
  getNextPageParam: (last: Schema["ListServiceAccount"]) => last.next_cursor ?? undefined,
});

/** account is one service account, by name or id. */
export const account = (workspace: string, id: string) =>
  queryOptions({
    queryKey: [workspace, "account", id] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts/{id}", { params: { path: { workspace, id } }, signal }),
      ),
  });

/** accountKeys are the keys of one account. */
export const accountKeys = (workspace: string, id: string) =>
  queryOptions({
    queryKey: [workspace, "account", id, "keys"] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts/{id}/keys", {
          params: { path: { workspace, id }, query: { limit: 200 } },
          signal,
        }),
      ),
  });

/** roles are all roles of a workspace. */
export const roles = (workspace: string) =>
  queryOptions({
    queryKey: [workspace, "roles"] as const,
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/roles", {
          params: { path: { workspace }, query: { limit: 200 } },
          signal,
        }),
      ),
  });
