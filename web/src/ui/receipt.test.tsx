import { renderToString } from "react-dom/server";
import { expect, it } from "vitest";
import type { Schema } from "../api/client";
import { Progress, took, waitingFor } from "./receipt";

const receipt: Schema["Receipt"] = {
  id: "rcp_1",
  revision: 88214,
  decided_at: "2026-11-23T12:03:22.000000Z",
  keys_stopped: 3,
  confirmed: false,
  by: "acked",
  durability: "quorum",
  took_ms: 41,
  nodes: { total: 3, confirmed: 2, expired: [], bounded: [], waiting: [{ name: "fra-3", lease_left_ms: 3200 }] },
};

const text = (r: Schema["Receipt"]) =>
  renderToString(<Progress receipt={r} doing="Stopping" did="Revoked" />)
    .replaceAll(/<!-- -->/g, "")
    .replaceAll(/<[^>]+>/g, " ")
    .replaceAll(/\s+/g, " ");

it("says whom it waits for, and nothing of being done", () => {
  expect(text(receipt)).toContain(
    "Stopping on every node. 2 of 3 confirmed. Waiting for fra-3 (its lease ends in 4 s).",
  );
  expect(text(receipt)).not.toContain("Revoked");
});

it("tells what was confirmed, by whom and how fast", () => {
  const nodes = { ...receipt.nodes, confirmed: 3, waiting: [] };
  const said = text({ ...receipt, confirmed: true, nodes });
  expect(said).toContain("Revoked 12:03:22 UTC. 3 keys stopped. Confirmed by 3 of 3 nodes in 41 ms. Revision 88,214.");
});

it("names nodes whose leases ended, and those that may go on", () => {
  const nodes = { ...receipt.nodes, waiting: [], expired: ["fra-3"], bounded: ["iad-1"] };
  const said = text({ ...receipt, confirmed: true, nodes });
  expect(said).toContain("fra-3 did not confirm; the lease ended");
  expect(said).toContain("iad-1 did not confirm and may go on");
});

it("writes spans and leases", () => {
  expect([0.4, 41, 2340].map(took)).toEqual(["less than 1 ms", "41 ms", "2.3 s"]);
  expect(waitingFor({ ...receipt, nodes: { ...receipt.nodes, waiting: [{ name: "a", lease_left_ms: 0 }] } })).toBe(
    "a (its lease has no end)",
  );
});
