import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api, data, type Schema } from "./client";
import { type Problem, problemOf } from "./problem";
import type { Receipt } from "./queries";
import { renew } from "./renew";
import { stepUp } from "./stepup";

/** Change is something that can be sent, and what became of it. */
export interface Change<In, Out> {
  send: (body: In) => void;
  busy: boolean;
  problem: Problem | undefined;
  done: Out | undefined;
  /** Forgets what became of the last try. */
  reset: () => void;
}

type Headers = { "Idempotency-Key": string };

/** useChange sends a change once, however often it is tried: a try whose answer was
    lost is found again by its key. What the workspace looks like is asked anew after. */
export function useChange<In, Out>(
  ws: string,
  run: (body: In, headers: Headers) => Promise<Out>,
  then?: (out: Out, body: In) => void,
): Change<In, Out> {
  const queries = useQueryClient();
  const key = useRef<string | undefined>(undefined);
  const mutation = useMutation({
    gcTime: 0, // an answer may hold a value that is shown once
    mutationFn: async (body: In) => {
      key.current ??= crypto.randomUUID();
      const headers = { "Idempotency-Key": key.current };
      try {
        return await run(body, headers);
      } catch (error) {
        if (problemOf(error).code !== "step_up_required") throw error;
        await stepUp();
        return await run(body, headers);
      }
    },
    onSuccess: (out, body) => {
      key.current = undefined;
      renew(queries, [ws]);
      then?.(out, body);
    },
    onError: (error) => {
      // Only what never arrived, or may have, is the same attempt when it is sent again.
      const { status } = problemOf(error);
      if (status >= 400 && status < 500) key.current = undefined;
    },
  });
  return {
    send: mutation.mutate,
    busy: mutation.isPending,
    problem: mutation.error ? problemOf(mutation.error) : undefined,
    done: mutation.data,
    reset: mutation.reset,
  };
}

const at = (workspace: string, id: string) => ({ path: { workspace, id } });

/** async asks for the receipt at once, so that its progress can be shown. */
const async = { Prefer: "respond-async" };

/** createAccount makes a service account. */
export const createAccount = (workspace: string) => (body: Schema["CreateServiceAccount"], headers: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/service_accounts", { params: { path: { workspace }, header: headers }, body }),
  );

/** updateAccount changes what is sent of an account. */
export const updateAccount = (ws: string, id: string) => (body: Schema["UpdateServiceAccount"]) =>
  data(api.PATCH("/v1/workspaces/{workspace}/service_accounts/{id}", { params: at(ws, id), body }));

/** turnAccount pauses an account, or resumes it. */
export const turnAccount =
  (ws: string, id: string, action: "pause" | "resume") => (body: Schema["Reason"], header: Headers) =>
    data(
      api.POST(`/v1/workspaces/{workspace}/service_accounts/{id}/${action}`, {
        params: { ...at(ws, id), header },
        body,
      }),
    );

/** revokeAccount ends an account and every key it owns. */
export const revokeAccount = (ws: string, id: string) => (body: Schema["Reason"], headers: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/service_accounts/{id}/revoke", {
      params: { ...at(ws, id), header: { ...headers, ...async } },
      body,
    }),
  );

/** createKey makes a key; its value is in the answer, and nowhere after. */
export const createKey = (ws: string, id: string) => (body: Schema["CreateKey"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/service_accounts/{id}/keys", { params: { ...at(ws, id), header }, body }));

/** verifyWith asks the node that answers whether it accepts a key, as a service does:
    with a key that may ask that, and without the session of who looks on. */
export const verifyWith = (checker: string, key: string) =>
  data(
    api.POST("/v1/verify", {
      body: { key },
      headers: { Authorization: `Bearer ${checker}` },
      credentials: "omit",
    }),
  );

/** createMyKey makes a personal key. */
export const createMyKey = (workspace: string) => (body: Schema["CreateKey"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/me/keys", { params: { path: { workspace }, header }, body }));

/** updateKey changes what is sent of a key. */
export const updateKey = (ws: string, id: string) => (body: Schema["UpdateKey"]) =>
  data(api.PATCH("/v1/workspaces/{workspace}/keys/{id}", { params: at(ws, id), body }));

/** turnKey pauses a key, or resumes it. */
export const turnKey =
  (ws: string, id: string, action: "pause" | "resume") => (body: Schema["Ending"], header: Headers) =>
    data(api.POST(`/v1/workspaces/{workspace}/keys/{id}/${action}`, { params: { ...at(ws, id), header }, body }));

/** revokeKey ends a key. */
export const revokeKey = (ws: string, id: string) => (body: Schema["Ending"], headers: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/keys/{id}/revoke", {
      params: { ...at(ws, id), header: { ...headers, ...async } },
      body,
    }),
  );

/** invite invites a person; the token is in the answer, and nowhere after. */
export const invite = (workspace: string) => (body: Schema["CreateInvitation"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/invitations", { params: { path: { workspace }, header }, body }));

/** cancelInvitation takes an invitation back. */
export const cancelInvitation = (ws: string) => (id: string) =>
  data(api.DELETE("/v1/workspaces/{workspace}/invitations/{id}", { params: at(ws, id) }));

/** updateMember gives a member another role. */
export const updateMember = (ws: string, id: string) => (body: Schema["UpdateMember"]) =>
  data(api.PATCH("/v1/workspaces/{workspace}/members/{id}", { params: at(ws, id), body }));

/** removeMember removes a person from a workspace. */
export const removeMember = (ws: string, id: string) => (_: undefined) =>
  data(api.DELETE("/v1/workspaces/{workspace}/members/{id}", { params: { ...at(ws, id), header: async } }));

/** createRole makes a role. */
export const createRole = (workspace: string) => (body: Schema["CreateRole"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/roles", { params: { path: { workspace }, header }, body }));

/** updateRole changes a role if it is still as it was when it was read. */
export const updateRole = (ws: string, id: string, etag: string | undefined) => (body: Schema["UpdateRole"]) =>
  data(
    api.PATCH("/v1/workspaces/{workspace}/roles/{id}", {
      params: { ...at(ws, id), header: etag ? { "If-Match": etag } : {} },
      body,
    }),
  );

/** deleteRole deletes a role that nobody has. */
export const deleteRole = (ws: string, id: string) => (_: undefined) =>
  data(api.DELETE("/v1/workspaces/{workspace}/roles/{id}", { params: at(ws, id) }));

/** updateWorkspace changes a workspace's name and policy. */
export const updateWorkspace = (workspace: string) => (body: Schema["UpdateWorkspace"]) =>
  data(api.PATCH("/v1/workspaces/{workspace}", { params: { path: { workspace } }, body }));

/** checkAccess asks whether somebody may do something, and why. */
export const checkAccess = (workspace: string) => (body: Schema["Check"]) =>
  data(api.POST("/v1/workspaces/{workspace}/check", { params: { path: { workspace } }, body }));

/** receiptOf is the receipt that an answer or a problem carries. */
export function receiptOf(change: Change<never, { receipt: Receipt }>): Receipt | undefined {
  return change.done?.receipt ?? change.problem?.receipt;
}

/** startRotation makes the second key; its value is in the answer, and nowhere after. */
export const startRotation = (ws: string, key: string) => (body: Schema["StartRotation"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/keys/{id}/rotations", { params: { ...at(ws, key), header }, body }));

/** updateRotation says anew when a rotation may end. */
export const updateRotation = (ws: string, id: string) => (body: Schema["UpdateRotation"]) =>
  data(api.PATCH("/v1/workspaces/{workspace}/rotations/{id}", { params: at(ws, id), body }));

/** finishRotation revokes the old key. */
export const finishRotation = (ws: string, id: string) => (body: Schema["FinishRotation"], header: Headers) =>
  data(
    api.POST("/v1/workspaces/{workspace}/rotations/{id}/finish", {
      params: { ...at(ws, id), header: { ...header, ...async } },
      body,
    }),
  );

/** cancelRotation ends a rotation without revoking the old key. */
export const cancelRotation = (ws: string, id: string) => (body: Schema["CancelRotation"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/rotations/{id}/cancel", { params: { ...at(ws, id), header }, body }));

/** tryWithout pauses the old key for a while. */
export const tryWithout = (ws: string, id: string) => (body: Schema["TryWithout"], header: Headers) =>
  data(api.POST("/v1/workspaces/{workspace}/rotations/{id}/try_without", { params: { ...at(ws, id), header }, body }));
