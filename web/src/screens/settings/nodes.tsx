import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Server } from "lucide-react";
import { type Node, nodes } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { type Column, List } from "../../ui/list";
import { count } from "../../ui/numbers";
import { Head } from "../../ui/page";
import { Empty } from "../../ui/states";
import { Time } from "../../ui/time";
import { NodesStrip } from "./strip";

/** Nodes are the processes that answer verifications. */
export function Nodes() {
  const { ws } = useParams({ from: "/w/$ws/settings/nodes" });
  const all = useQuery(nodes(ws));
  return (
    <>
      <Head
        title="Nodes"
        text="What answers verifications, from memory. A change that takes power away is done when each of them has confirmed it, or its lease has ended."
      />
      <NodesStrip nodes={all.data ?? []} />
      <List
        label="Nodes"
        query={all}
        rows={all.data ?? []}
        lines={1}
        columns={columns}
        empty={
          <Empty icon={<Server aria-hidden />} title="No nodes to show">
            You see the servers of this deployment, and the verifiers of your own workspace.
          </Empty>
        }
      />
    </>
  );
}

const columns: Column<Node>[] = [
  {
    name: "Node",
    kind: "main",
    cell: (n) => (
      <>
        <span className="strong">{n.name}</span>
        {n.self && <span className="dim small"> answers this page</span>}
      </>
    ),
  },
  { name: "Kind", cell: (n) => n.kind },
  { name: "Version", cell: (n) => <code>{n.version}</code> },
  {
    name: "Revision",
    kind: "number",
    cell: (n) => (
      <>
        {count(n.revision)}{" "}
        {n.lag > 0 ? <Badge tone="warn">{count(n.lag)} behind</Badge> : <Badge tone="ok">In step</Badge>}
      </>
    ),
  },
  { name: "Lease left", cell: (n) => lease(n) },
  { name: "Last contact", cell: (n) => <Time at={n.last_contact} /> },
];

/** lease says how long a node may go on without being heard of. */
export function lease(n: Pick<Node, "lease_left_ms">): string {
  if (n.lease_left_ms === null) return "Needs none";
  return n.lease_left_ms <= 0 ? "Ended" : `${(n.lease_left_ms / 1000).toFixed(1)} s`;
}
