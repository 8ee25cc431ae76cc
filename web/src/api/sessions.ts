import { queryOptions } from "@tanstack/react-query";
import { api, data, type Schema } from "./client";

export type CurrentSession = Schema["CurrentSession"];
export type Session = Schema["Session"];
export type Passkey = Schema["Passkey"];

/** methods are the ways in which people sign in here. */
export const methods = queryOptions({
  queryKey: ["methods"] as const,
  queryFn: ({ signal }) => data(api.GET("/v1/sessions/methods", { signal })),
  staleTime: 60_000,
});

/** currentSession is who is signed in on this browser, and where they work. */
export const currentSession = queryOptions({
  queryKey: ["session"] as const,
  queryFn: ({ signal }) => data(api.GET("/v1/sessions/current", { signal })),
  staleTime: 60_000,
});

/** sessions are all browsers that one is signed in on. */
export const sessions = queryOptions({
  queryKey: ["sessions"] as const,
  queryFn: async ({ signal }) => (await data(api.GET("/v1/sessions", { signal }))).data,
});

/** passkeys are the passkeys of who is signed in. */
export const passkeys = queryOptions({
  queryKey: ["passkeys"] as const,
  queryFn: async ({ signal }) => (await data(api.GET("/v1/passkeys", { signal }))).data,
});

/** signIn signs somebody in with a password or a passkey. */
export const signIn = (body: Schema["SignIn"]) => data(api.POST("/v1/sessions", { body }));

/** signOut ends the session of this browser. */
export const signOut = () => data(api.DELETE("/v1/sessions/current"));

/** endSession ends one session, on whichever browser. */
export const endSession = (id: string) => data(api.DELETE("/v1/sessions/{id}", { params: { path: { id } } }));

/** endOthers ends all sessions but this one. */
export const endOthers = () => data(api.POST("/v1/sessions/end_others"));

/** proveAgain renews what a session may do that needs a fresh proof. */
export const proveAgain = (body: Schema["StepUp"]) => data(api.POST("/v1/sessions/step_up", { body }));

/** moveTo goes on in another workspace. */
export const moveTo = (workspace: string) => data(api.PATCH("/v1/sessions/current", { body: { workspace } }));

/** setUp makes the first workspace and its owner, or gives a member something to sign
    in with. */
export const setUp = (body: Schema["Setup"]) => data(api.POST("/v1/setup", { body }));

/** acceptInvitation joins a workspace. */
export const acceptInvitation = (body: Schema["AcceptInvitation"]) =>
  data(api.POST("/v1/invitations/accept", { body, params: { header: { "Idempotency-Key": crypto.randomUUID() } } }));

/** changePassword sets another password, which ends all other sessions. */
export const changePassword = (body: Schema["ChangePassword"]) => data(api.PUT("/v1/password", { body }));

/** renamePasskey gives a passkey another name. */
export const renamePasskey = ({ id, name }: { id: string; name: string }) =>
  data(api.PATCH("/v1/passkeys/{id}", { params: { path: { id } }, body: { name } }));

/** removePasskey removes a passkey. */
export const removePasskey = (id: string) => data(api.DELETE("/v1/passkeys/{id}", { params: { path: { id } } }));

/** lookUpDevice is the program that shows a code. */
export const lookUpDevice = (user_code: string) => data(api.POST("/v1/device/lookup", { body: { user_code } }));

/** answerDevice approves a program, or refuses it. */
export const answerDevice = (body: Schema["ApproveDevice"]) => data(api.POST("/v1/device/approve", { body }));
