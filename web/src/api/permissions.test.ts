import { expect, it } from "vitest";
import { allows } from "./permissions";

it.each([
  ["*:read", "tickets:read", true],
  ["*:read", "tickets/7:read", true],
  ["*:*", "iam.keys:read", false],
  ["iam.*:*", "iam.keys:write", true],
  ["iam.*:*", "iam.owners:write", false],
  ["agents:execute", "agents/x:execute", true],
  ["agents/x:execute", "agents:execute", false],
  ["agents/sup*:execute", "agents/support:execute", true],
  ["agents/sup*:execute", "agents/billing:execute", false],
  ["agents/*:execute", "agents:execute", false],
  ["tickets:read", "tickets:write", false],
])("%s covers %s: %s", (grant, asked, want) => expect(allows([grant], asked)).toBe(want));
