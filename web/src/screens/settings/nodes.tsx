import { useQuery } from "@tanstack/react-query";
import { Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { Server, Siren } from "lucide-react";
import { useMay } from "../../api/me";
import { type Node, nodes } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
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
        docs="consistency"
        actions={<DrillButton ws={ws} />}
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
      <Outlet />
    </>
  );
}

/** drillNeeds is what a drill needs: it makes an account that may verify keys. */
const drillNeeds = ["iam.service_accounts:write", "iam.keys:write", "iam.keys:verify"];

function DrillButton({ ws }: { ws: string }) {
  const navigate = useNavigate();
  const may = useMay();
  return (
    <Button
      reason={drillNeeds.map(may).find((reason) => reason !== undefined)}
      onClick={() => navigate({ to: "/w/$ws/settings/nodes/drill", params: { ws } })}
    >
      <Siren aria-hidden /> Revocation drill
    </Button>
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
    name: "Revision lag",
    kind: "number",
    cell: (n) => (
      <span>
        {n.lag > 0 ? <Badge tone="warn">{count(n.lag)} behind</Badge> : <Badge tone="ok">In step</Badge>}{" "}
        <span className="dim small">at {count(n.revision)}</span>
      </span>
    ),
  },
  { name: "Lease left", cell: (n) => lease(n) },
  {
    name: "Requests/s",
    kind: "number",
    cell: (n) => (n.requests_per_second === null ? <span className="dim">–</span> : rate(n.requests_per_second)),
  },
  { name: "Last contact", cell: (n) => <Time at={n.last_contact} /> },
];

/** rate writes how often something happens in a second. */
export function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 0.1 ? "< 0.1" : perSecond.toFixed(perSecond < 10 ? 1 : 0);
}

/** lease says how long a node may go on without being heard of. */
export function lease(n: Pick<Node, "lease_left_ms">): string {
  if (n.lease_left_ms === null) return "Needs none";
  return n.lease_left_ms <= 0 ? "Ended" : `${(n.lease_left_ms / 1000).toFixed(1)} s`;
}
