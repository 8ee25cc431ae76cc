import { type Node, serversOf } from "../../api/queries";
import { count } from "../../ui/numbers";
import { lease } from "./nodes";

/** NodesStrip shows the servers side by side: which are in step, and how much of their
    leases is left. */
export function NodesStrip({ nodes }: { nodes: Node[] }) {
  const servers = serversOf(nodes).map((n) => ({ ...n, lag: n.lag ?? 0 }));
  if (servers.length === 0) return null;
  return (
    <ul className="strip" aria-label="Nodes">
      {servers.map((n) => (
        <li key={n.id} className="node" data-tone={n.lag > 0 ? "warn" : "ok"}>
          <div className="row nowrap">
            <span className="dot" data-tone={n.lag > 0 ? "warn" : "ok"} />
            <strong className="one-line">{n.name}</strong>
          </div>
          <span className="small dim">{n.lag > 0 ? `${count(n.lag)} behind` : "In step"}</span>
          {n.lease_left_ms !== null && n.lease_ttl_ms ? (
            <progress
              max={n.lease_ttl_ms}
              value={Math.max(0, n.lease_left_ms)}
              aria-label={`Lease of ${n.name}: ${lease(n)}`}
            />
          ) : (
            <span className="small dim">Needs no lease</span>
          )}
        </li>
      ))}
    </ul>
  );
}
