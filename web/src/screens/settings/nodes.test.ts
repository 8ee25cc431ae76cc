import { expect, it } from "vitest";
import { drillName, outcome } from "./drill";
import { lease, rate } from "./nodes";

it("writes how often something happens in a second", () => {
  expect([0, 0.04, 0.5, 9.94, 212.6].map(rate)).toEqual(["0.0", "< 0.1", "0.5", "9.9", "213"]);
});

it("says for how long a node may go on", () => {
  expect([null, 0, 1500].map((lease_left_ms) => lease({ lease_left_ms }))).toEqual(["Needs none", "Ended", "1.5 s"]);
});

it("names a drill so that no account is called so already, and the API takes it", () => {
  expect(drillName(Uint8Array.of(0, 1, 2, 254, 255))).toBe("drill-000102feff");
  expect(drillName()).not.toBe(drillName());
});

it("says of each node what it made of a drill, and not that it confirmed before it did", () => {
  const nodes = { total: 4, confirmed: 1, expired: ["b"], bounded: ["c"], waiting: [{ name: "d", lease_left_ms: 9 }] };
  expect(["a", "b", "c", "d"].map((name) => outcome({ name }, { confirmed: false, nodes }))).toEqual([
    "Confirmed",
    "Did not confirm; its lease ended",
    "Did not confirm; it may go on for a while",
    "Has not confirmed yet",
  ]);
});
