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
        {n.follows !== null && <span className="dim small"> follows {n.follows}</span>}
      </>
    ),
  },
  { name: "Kind", cell: (n) => (n.kind === "verifier" ? "Verifier" : "Server") },
  { name: "Version", cell: (n) => (n.version === "" ? <None /> : <code>{n.version}</code>) },
  {
    name: "Revision lag",
    kind: "number",
    cell: (n) => (
      <span>
        <Step of={n} /> <span className="dim small">at {count(n.revision)}</span>
      </span>
    ),
  },
  { name: "Lease left", cell: (n) => lease(n) ?? <None /> },
  {
    name: "Requests/s",
    kind: "number",
    cell: (n) => (n.requests_per_second === null ? <None /> : rate(n.requests_per_second)),
  },
  { name: "Last contact", cell: (n) => <Time at={n.last_contact} /> },
];

/** None stands where nothing is known. */
function None() {
  return <span className="dim">–</span>;
}

/** Step says whether a node is in step, as far as that is known. */
function Step({ of }: { of: Node }) {
  switch (stateOf(of)) {
    case "set aside":
      return <Badge tone="warn">Set aside</Badge>;
    case "cut off":
      return <Badge tone="warn">Cut off</Badge>;
    case "behind":
      return <Badge tone="warn">{count(of.lag ?? 0)} behind</Badge>;
    case "in step":
      return <Badge tone="ok">In step</Badge>;
  }
  return <None />;
}

/** stateOf is how a node fares; undefined: the node that answers cannot know. A server
    that is cut off lags, or will. */
export function stateOf(n: Pick<Node, "kind" | "lag" | "lease_left_ms" | "set_aside">) {
  if (n.set_aside) return "set aside";
  if (n.kind === "verifier" && n.lease_left_ms === 0) return "cut off";
  if (n.lag === null) return undefined;
  return n.lag > 0 ? "behind" : "in step";
}

/** rate writes how often something happens in a second. */
export function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 0.1 ? "< 0.1" : perSecond.toFixed(perSecond < 10 ? 1 : 0);
}

/** lease says how long a node may go on without being heard of; undefined: the node that
    answers cannot know. */
export function lease(n: Pick<Node, "kind" | "lease_left_ms">): string | undefined {
  if (n.lease_left_ms === null) return n.kind === "verifier" ? undefined : "Needs none";
  return n.lease_left_ms <= 0 ? "Ended" : `${(n.lease_left_ms / 1000).toFixed(1)} s`;
}
