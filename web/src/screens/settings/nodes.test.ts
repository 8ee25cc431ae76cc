import { expect, it } from "vitest";
import { drillName, outcome } from "./drill";
import { lease, rate, stateOf } from "./nodes";

it("writes how often something happens in a second", () => {
  expect([0, 0.04, 0.5, 9.94, 212.6].map(rate)).toEqual(["0.0", "< 0.1", "0.5", "9.9", "213"]);
});

it("says for how long a node may go on", () => {
  const of = (kind: "server" | "verifier") => [null, 0, 1500].map((lease_left_ms) => lease({ kind, lease_left_ms }));
  expect(of("server")).toEqual(["Needs none", "Ended", "1.5 s"]);
  expect(of("verifier")).toEqual([undefined, "Ended", "1.5 s"]);
});

it("says how a verifier fares, and nothing where that is not known", () => {
  const well = { kind: "verifier", lag: 0, lease_left_ms: 1500, set_aside: false } as const;
  const elsewhere = { ...well, lag: null, lease_left_ms: null, set_aside: null };
  expect(
    [
      well,
      { ...well, lag: 3 },
      { ...well, set_aside: true, lease_left_ms: 0 },
      { ...well, lease_left_ms: 0 },
      elsewhere,
      { ...elsewhere, lease_left_ms: 0 },
      { ...well, kind: "server" as const, lag: 2, lease_left_ms: 0, set_aside: null },
    ].map(stateOf),
  ).toEqual(["in step", "behind", "set aside", "cut off", undefined, "cut off", "behind"]);
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
