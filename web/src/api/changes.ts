import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api, data, type Schema } from "./client";
import { type Problem, problemOf } from "./problem";

/** Change is something that can be sent, and what became of it. */
export interface Change<In, Out> {
  send: (body: In) => void;
  busy: boolean;
  problem: Problem | undefined;
  done: Out | undefined;
}

/** useChange sends a change once, however often it is tried: a try whose answer was
    lost is found again by its key. What the workspace looks like is asked anew after. */
export function useChange<In, Out>(
  workspace: string,
  run: (body: In, headers: { "Idempotency-Key": string }) => Promise<Out>,
  then?: (out: Out) => void,
): Change<In, Out> {
  const queries = useQueryClient();
  const key = useRef<string | undefined>(undefined);
  const mutation = useMutation({
    mutationFn: (body: In) => {
      key.current ??= crypto.randomUUID();
      return run(body, { "Idempotency-Key": key.current });
    },
    onSuccess: (out) => {
      key.current = undefined;
      void queries.invalidateQueries({ queryKey: [workspace] });
      then?.(out);
    },
    onError: (error) => {
      // Only what never arrived, or may have, is the same attempt when it is sent again.
      if (problemOf(error).status >= 400 && problemOf(error).status < 500) {
        key.current = undefined;
      }
    },
  });
  return {
    send: mutation.mutate,
    busy: mutation.isPending,
    problem: mutation.error ? problemOf(mutation.error) : undefined,
    done: mutation.data,
  };
}

type Headers = { "Idempotency-Key": string };

/** createAccount makes a service account. */
export const createAccount = (workspace: string) => (body: Schema["CreateServiceAccount"], headers: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/service_accounts", { params: { path: { workspace } }, headers, body }));

/** createKey makes a key; its value is in the answer, and nowhere after. */
export const createKey = (workspace: string, id: string) => (body: Schema["CreateKey"], headers: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/service_accounts/{id}/keys", {
      params: { path: { workspace, id } },
      headers,
      body,
    }),
  );

/** revokeAccount ends an account and every key it owns. */
export const revokeAccount = (workspace: string, id: string) => (body: Schema["Reason"], headers: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/service_accounts/{id}/revoke", {
      params: { path: { workspace, id } },
      headers,
      body,
    }),
  );
