import { expect, it } from "vitest";
import type { Role } from "../../api/queries";
import { inThePlaceOf, lesserRole, movedFrom, nameFrom } from "./move";
import { isName, taker } from "./name";

const role = (name: string, permissions: string[], kind = "built_in") => ({ name, permissions, kind }) as Role;

const all = [
  role("admin", ["*:*", "iam.*:*"]),
  role("editor", ["*:read", "*:write", "*:delete", "*:execute"]),
  role("operator", ["*:read", "*:execute"]),
  role("viewer", ["*:read"]),
  role("ticket-bot", ["tickets:read", "tickets:write"], "custom"),
];

it.each([
  [["tickets:read"], "viewer"],
  [["*:execute"], "operator"],
  [["tickets:write"], "ticket-bot"],
  [["agents:write"], "editor"],
  [["iam.keys:read"], "operator"],
  [["*:*", "iam.*:*"], "operator"],
])("for what can do %j, an account gets the least role, and never an Admin's: %s", (effective, want) =>
  expect(lesserRole(all, effective)).toBe(want),
);

it("makes the name of an account out of that of a key", () => {
  expect(nameFrom("Jo's  Laptop (old)")).toBe("jo-s-laptop-old");
  expect(isName(nameFrom("CI/deploy_2026"))).toBe(true);
  expect(isName(nameFrom("日本"))).toBe(false);
});

it("remembers which key an account takes the place of, and believes nothing else", () => {
  expect(movedFrom({ metadata: inThePlaceOf({ id: "key_01jn" }) })).toBe("key_01jn");
  for (const metadata of [{}, { moved_from: 7 }, { moved_from: "../roles" }]) {
    expect(movedFrom({ metadata } as never)).toBeUndefined();
  }
});

it("says who has a name", () => {
  expect(taker("bot", { name: "bot", state: "active" })).toBe("bot is taken by another account.");
  expect(taker("bot", { name: "bot", state: "inactive" })).toContain("has it for good");
  expect(taker("bot", { name: "bot-2", state: "active" })).toBe("bot is taken: bot-2 was called so.");
});
