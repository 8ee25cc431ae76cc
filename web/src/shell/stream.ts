import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Schema } from "../api/client";
import { allows } from "../api/permissions";
import { type Node, nodes, whoami } from "../api/queries";
import { renew } from "../api/renew";
import { sentence } from "../screens/audit/words";
import { announce, stale } from "./live";

/** topics are what a stream tells of, and what hearing of it needs. */
const topics = [
  ["keys", "iam.keys:read"],
  ["rotations", "iam.keys:read"],
  ["audit", "iam.audit:read"],
  ["nodes", "iam.nodes:read"],
] as const;

const together = 300; // milliseconds for which changes are gathered before lists are asked for again

/** useStream hears of what happens in the workspace for as long as a page of it is
    open, by one stream, and keeps what is shown true. */
export function useStream(ws: string) {
  const queries = useQueryClient();
  const me = useQuery(whoami);
  const heard = topics.filter(([, needs]) => me.data && allows(me.data.permissions, needs)).map(([topic]) => topic);
  const asked = heard.join(",");
  useEffect(() => {
    if (!asked) return;
    const source = new EventSource(`/v1/workspaces/${encodeURIComponent(ws)}/stream?topics=${asked}`);
    const stop = listen(source, ws, queries);
    return () => {
      stop();
      source.close();
    };
  }, [ws, asked, queries]);
}

/** listen keeps a cache true to what a stream tells, until it is stopped. */
export function listen(source: EventSource, ws: string, queries: QueryClient): () => void {
  const due = new Map<string, readonly unknown[]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = (...keys: (readonly unknown[])[]) => {
    for (const key of keys) due.set(JSON.stringify(key), key);
    timer ??= setTimeout(() => {
      timer = undefined;
      for (const queryKey of due.values()) renew(queries, queryKey);
      due.clear();
    }, together);
  };
  const on = <T>(name: string, act: (of: T) => void) =>
    source.addEventListener(name, (e) => act(JSON.parse((e as MessageEvent<string>).data)));
  on<Schema["StreamChange"]>("key", (c) => {
    queries.setQueryData([ws, "key", c.id], (k: object | undefined) => k && { ...k, ...known(k, c.after) });
    again([ws, "keys"], [ws, "key", c.id], [ws, "account"], [ws, "accounts"]);
  });
  on("principal", () =>
    again([ws, "account"], [ws, "accounts"], [ws, "members"], [ws, "member"], [ws, "seats"], ["whoami"]),
  );
  on("role", () => again([ws, "roles"], ["whoami"]));
  on<Schema["StreamChange"]>("rotation", (c) => again([ws, "rotation", c.id], [ws, "keys"]));
  on<Schema["AuditEvent"]>("audit", (e) => {
    announce(sentence(e));
    again([ws, "audit"], [ws, "overview"]);
  });
  on<Schema["StreamNodes"]>("nodes", (n) =>
    queries.setQueryData(nodes(ws).queryKey, (shown) => n.nodes.map((node) => withRate(node, shown))),
  );
  on("reset", () => again([ws]));
  // What was read before the stream was open may lack what it will never tell of. When
  // it is opened again, it goes on where it was.
  source.addEventListener("open", () => again([ws]), { once: true });
  on<{ reason: string }>("end", (end) => end.reason === "stale" && stale.set(true));
  return () => clearTimeout(timer);
}

/** withRate is a node as the stream tells of it, which does not say how often keys are
    used there: what was known of that stays. */
function withRate(node: Node, shown: Node[] | undefined): Node {
  const known = shown?.find((n) => n.id === node.id)?.requests_per_second;
  return { ...node, requests_per_second: node.requests_per_second ?? known ?? null };
}

const plain = ["name", "limit", "allowed_networks", "expires_at"];

/** known are those fields of a change that a key shows as they are written there. */
function known(shown: object, after: Record<string, unknown> | null): object {
  return Object.fromEntries(Object.entries(after ?? {}).filter(([name]) => name in shown && plain.includes(name)));
}
