import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { said, stale } from "./live";
import { listen } from "./stream";

let source: EventTarget;
let queries: QueryClient;
let asked: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  source = new EventTarget();
  queries = new QueryClient();
  asked = [];
  vi.spyOn(queries, "invalidateQueries").mockImplementation(async (filters) => {
    asked.push(filters?.queryKey);
  });
  listen(source as EventSource, "acme", queries);
});

afterEach(() => {
  vi.useRealTimers();
  stale.set(false);
});

const tell = (name: string, of: unknown) => source.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(of) }));

it("asks once for what several changes touch", () => {
  for (const id of ["key_1", "key_1", "key_1"]) tell("key", { id, after: null });
  expect(asked).toEqual([]);
  vi.advanceTimersByTime(300);
  expect(asked).toEqual([
    ["acme", "keys"],
    ["acme", "key", "key_1"],
    ["acme", "account"],
    ["acme", "accounts"],
  ]);
});

it("shows at once what changed of a key", () => {
  queries.setQueryData(["acme", "key", "key_1"], { name: "old", revoked: null });
  tell("key", { id: "key_1", after: { name: "new", revoked: true, hint: "x" } });
  expect(queries.getQueryData(["acme", "key", "key_1"])).toEqual({ name: "new", revoked: null });
});

it("takes the nodes as they are told, and everything anew after a gap", () => {
  queries.setQueryData(["acme", "nodes"], [{ id: "a", requests_per_second: 3 }]);
  tell("nodes", { nodes: [{ id: "a", lag: 1, requests_per_second: null }, { id: "b" }] });
  expect(queries.getQueryData(["acme", "nodes"])).toEqual([
    { id: "a", lag: 1, requests_per_second: 3 },
    { id: "b", requests_per_second: null },
  ]);
  tell("reset", { reason: "too_old" });
  vi.advanceTimersByTime(300);
  expect(asked).toEqual([["acme"]]);
});

it("reads anew what was read before it was open, and not when it is opened again", () => {
  for (let n = 0; n < 2; n++) {
    source.dispatchEvent(new Event("open"));
    tell("open", { topics: ["keys"], node: "node-1" });
    vi.advanceTimersByTime(300);
  }
  expect(asked).toEqual([["acme"]]);
});

it("says that the node is stale when its stream ends for that", () => {
  tell("end", { reason: "shutdown" });
  expect(stale.get()).toBe(false);
  tell("end", { reason: "stale" });
  expect(stale.get()).toBe(true);
});

it("announces at most one event in five seconds", () => {
  const event = (name: string) => ({
    actor: { type: "member", name: "Maya", state: "active", id: "mem_1" },
    action: "key.created",
    target: { type: "key", name, id: "key_1" },
    outcome: "done",
    reason: "",
  });
  vi.setSystemTime(1_000_000);
  tell("audit", event("one"));
  tell("audit", event("two"));
  expect(said.get()).toBe("Maya created key one.");
  vi.setSystemTime(1_005_001);
  tell("audit", event("three"));
  expect(said.get()).toBe("Maya created key three.");
});
