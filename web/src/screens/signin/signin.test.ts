import { expect, it } from "vitest";
import { browserName } from "../me/account";
import { inside } from "./alone";
import { halves } from "./device";

it("goes only to places in the console", () => {
  expect(inside("/w/acme/audit?q=x")).toBe("/w/acme/audit?q=x");
  for (const outside of [
    undefined,
    "",
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
  ]) {
    expect(inside(outside)).toBe("/");
  }
});

it("writes a code as programs show it", () => {
  expect(halves("WDJBMJHT")).toBe("WDJB-MJHT");
  expect(halves("WDJB-MJHT")).toBe("WDJB-MJHT");
});

it.each([
  [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
    "Chrome on Linux",
  ],
  [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605 Version/26 Mobile Safari/604",
    "Safari on iOS",
  ],
  ["curl/8.5", "curl/8.5"],
  ["", "Unknown browser"],
])("calls %s %s", (agent, want) => expect(browserName(agent)).toBe(want));
