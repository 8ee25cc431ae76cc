import type { AuditEvent } from "../../api/queries";

/** did says of each action what was done, in the past tense. */
const did: Record<string, string> = {
  created: "created",
  updated: "changed",
  role_changed: "changed the role of",
  paused: "paused",
  resumed: "resumed",
  revoked: "revoked",
  deleted: "deleted",
  invited: "invited",
  joined: "joined as",
  removed: "removed",
  cancelled: "cancelled",
  started: "started",
  completed: "completed",
  added: "added",
  ended: "ended",
  changed: "changed",
};

/** happened says of actions that nobody does what happened to their target. */
const happened: Record<string, string> = {
  "key.first_used": "was used for the first time",
  "key.expiring": "is about to expire",
  "key.expired": "expired",
  "key.exposed": "was found where others can read it",
  "rotation.first_use": "has a new key in use",
  "rotation.ready": "is ready to be finished",
  "rotation.overdue": "is overdue",
  "rotation.overlapping": "has an old key in use again",
  "rotation.try_without": "is tried without the old key",
  "node.joined": "joined",
  "node.left": "left",
  "node.stale": "answered nothing for a while",
};

/** alone says of actions that people do to themselves what they did. */
const alone: Record<string, (target: string) => string> = {
  "session.created": (way) => `signed in${ways[way] ?? ""}`,
  "session.renewed": () => "proved again who they are",
  "session.ended": () => "ended a session",
  "password.changed": () => "has another password",
};

const ways: Record<string, string> = {
  password: " with a password",
  passkey: " with a passkey",
  sso: " by single sign-on",
};

const things: Record<string, string> = {
  service_account: "service account",
  permissions: "the product's permissions",
  workspace: "workspace",
  session: "session",
};

/** actions are those that the log can be narrowed to. */
export const actions = [
  ...["created", "updated", "role_changed", "paused", "resumed", "revoked"].map((a) => `service_account.${a}`),
  ...["created", "updated", "first_used", "expiring", "expired", "exposed", "paused", "resumed", "revoked"].map(
    (a) => `key.${a}`,
  ),
  ...["started", "updated", "first_use", "ready", "try_without", "completed", "cancelled", "overdue"].map(
    (a) => `rotation.${a}`,
  ),
  ...["invited", "joined", "role_changed", "removed"].map((a) => `member.${a}`),
  "invitation.cancelled",
  ...["created", "updated", "deleted"].map((a) => `role.${a}`),
  "permissions.updated",
  ...["created", "updated", "paused", "resumed"].map((a) => `workspace.${a}`),
  "session.created",
  "session.ended",
  "passkey.added",
  "passkey.removed",
  "password.changed",
  "node.joined",
  "node.stale",
  "node.left",
  "export.created",
];

function thing(type: string): string {
  return things[type] ?? type.replaceAll("_", " ");
}

/** actorName is what an actor is called in a sentence. */
export function actorName(e: AuditEvent): string {
  return e.actor.name || (e.actor.type === "system" ? "Postern" : "Somebody unknown");
}

/** sentence tells an event as one would tell it to somebody. */
export function sentence(e: AuditEvent): string {
  const target = [thing(e.target.type), e.target.name].filter(Boolean).join(" ");
  const what = happened[e.action];
  if (what && e.outcome === "done") {
    return `${target.charAt(0).toUpperCase()}${target.slice(1)} ${what}.`;
  }
  const self = e.outcome === "done" ? alone[e.action] : undefined;
  if (self) return `${actorName(e)} ${self(e.target.name)}.`;
  const verb = did[e.action.split(".")[1] ?? ""] ?? `did ${e.action} to`;
  if (e.outcome === "refused") {
    return `${actorName(e)} tried ${e.action} on ${target} and was refused${e.reason ? `: ${e.reason}` : ""}.`;
  }
  return `${actorName(e)} ${verb} ${target}${e.reason ? `: ${e.reason}` : ""}.`;
}
