import { expect, it } from "vitest";
import type { AuditEvent } from "../../api/queries";
import { since } from "./log";
import { sentence } from "./words";

const event = (more: object) =>
  ({
    actor: { type: "member", name: "Maya Chen", state: "active", id: "mem_1" },
    action: "service_account.revoked",
    target: { type: "service_account", name: "old-bot", id: "sa_1" },
    outcome: "done",
    reason: "",
    ...more,
  }) as AuditEvent;

it.each([
  [{}, "Maya Chen revoked service account old-bot."],
  [{ reason: "replaced" }, "Maya Chen revoked service account old-bot: replaced."],
  [{ action: "key.expired", target: { type: "key", name: "prod", id: "k" } }, "Key prod expired."],
  [
    { outcome: "refused", reason: "permission_denied" },
    "Maya Chen tried service_account.revoked on service account old-bot and was refused: permission_denied.",
  ],
  [
    { action: "session.created", target: { type: "session", name: "passkey", id: "ses_1" } },
    "Maya Chen signed in with a passkey.",
  ],
  [{ actor: { type: "system", name: "", state: "active", id: "" } }, "Postern revoked service account old-bot."],
])("tells %j as a sentence", (more, want) => expect(sentence(event(more))).toBe(want));

it("turns a span of an address into a moment, and leaves a moment as it is", () => {
  const now = Date.parse("2026-11-23T12:00:42Z");
  expect(since("1h", now)).toBe("2026-11-23T11:00:00.000Z");
  expect(since("2026-01-01T00:00:00Z", now)).toBe("2026-01-01T00:00:00Z");
  expect(since(undefined, now)).toBeUndefined();
});
