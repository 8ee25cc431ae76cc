import type { ReactNode } from "react";
import type { AuditEvent } from "../../api/queries";
import { Actor, Still } from "../../ui/actor";
import { Badge } from "../../ui/badge";
import { CopyIcon } from "../../ui/copy";
import type { Column } from "../../ui/list";
import { Time } from "../../ui/time";

/** auditColumns are what the audit log says of each event. */
export function auditColumns(link: (e: AuditEvent) => ReactNode): Column<AuditEvent>[] {
  return [
    { name: "Time", cell: (e) => <Time at={e.at} /> },
    { name: "Actor", cell: (e) => <Actor of={e.actor} /> },
    { name: "Action", kind: "main", cell: link },
    {
      name: "Target",
      cell: (e) => (
        <span>
          {e.target.name || e.target.id}
          <Still state={e.target.state} /> <span className="dim small">{e.target.type.replaceAll("_", " ")}</span>
        </span>
      ),
    },
    {
      name: "Outcome",
      cell: (e) => (
        <Badge tone={e.outcome === "done" ? "ok" : "danger"}>{e.outcome === "done" ? "Done" : "Refused"}</Badge>
      ),
    },
    { name: "Source", cell: (e) => e.source.ip || <span className="dim">{e.source.node || "–"}</span> },
    {
      name: "Request",
      cell: (e) =>
        e.request_id ? (
          <span className="row nowrap">
            <code className="small dim">…{e.request_id.slice(-6)}</code>
            <CopyIcon text={e.request_id} label="Copy the request's id" />
          </span>
        ) : (
          <span className="dim">–</span>
        ),
    },
  ];
}
