import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { problemOf } from "../../api/problem";
import { type AuditEvent, auditEvent } from "../../api/queries";
import { Actor, Still } from "../../ui/actor";
import { Badge } from "../../ui/badge";
import { CopyButton, CopyIcon } from "../../ui/copy";
import { Drawer } from "../../ui/dialog";
import { count } from "../../ui/numbers";
import { Failure, Waiting } from "../../ui/states";
import { exactly } from "../../ui/time";
import { sentence } from "./words";

/** AuditEventDrawer is the drawer with one event. */
export function AuditEventDrawer() {
  const { ws, evt } = useParams({ from: "/w/$ws/audit/$evt" });
  const search = useSearch({ from: "/w/$ws/audit" });
  const navigate = useNavigate();
  const found = useQuery(auditEvent(ws, evt));
  const e = found.data;
  return (
    <Drawer
      title={e?.action ?? "Event"}
      badge={
        e && <Badge tone={e.outcome === "done" ? "ok" : "danger"}>{e.outcome === "done" ? "Done" : "Refused"}</Badge>
      }
      onClose={() => navigate({ to: "/w/$ws/audit", params: { ws }, search, resetScroll: false })}
    >
      {found.isPending && <Waiting />}
      {found.error && !e ? <Failure problem={problemOf(found.error)} /> : null}
      {e && <Event ws={ws} of={e} />}
    </Drawer>
  );
}

function Event({ ws, of: e }: { ws: string; of: AuditEvent }) {
  return (
    <>
      <p className="lead">{sentence(e)}</p>
      <dl className="definitions">
        <dt>When</dt>
        <dd>{exactly(Date.parse(e.at))}</dd>
        <dt>Actor</dt>
        <dd>
          <Actor of={e.actor} />
          {e.key && <p className="small dim">with the key {e.key.name}</p>}
        </dd>
        <dt>Target</dt>
        <dd>
          {e.target.name}
          <Still state={e.target.state} /> <code className="small dim">{e.target.id}</code>
        </dd>
        <dt>From</dt>
        <dd>
          {[e.source.ip, e.source.user_agent].filter(Boolean).join(" · ") || "Postern itself"}
          {e.source.node && <span className="dim"> (node {e.source.node})</span>}
        </dd>
        {e.request_id && (
          <>
            <dt>Request</dt>
            <dd className="row">
              <code>{e.request_id}</code>
              <CopyIcon text={e.request_id} label="Copy the request's id" />
            </dd>
          </>
        )}
        <dt>Number</dt>
        <dd>{count(e.seq)}</dd>
      </dl>
      <Changed before={e.before} after={e.after} />
      <Related ws={ws} of={e} />
      <details>
        <summary>As JSON</summary>
        <div className="stack" data-tight>
          <code className="snippet">{JSON.stringify(e, null, 2)}</code>
          <CopyButton text={JSON.stringify(e, null, 2)} />
        </div>
      </details>
    </>
  );
}

type Fields = AuditEvent["before"];

/** Changed shows what was, and what came to be. */
function Changed({ before, after }: { before: Fields; after: Fields }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].sort();
  const changed = names.filter((n) => JSON.stringify(before?.[n]) !== JSON.stringify(after?.[n]));
  if (changed.length === 0) return null;
  return (
    <table data-matrix className="diff" aria-label="What changed">
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Before</th>
          <th scope="col">After</th>
        </tr>
      </thead>
      <tbody>
        {changed.map((n) => (
          <tr key={n}>
            <th scope="row">{n.replaceAll("_", " ")}</th>
            <td>{told(before?.[n])}</td>
            <td>{told(after?.[n])}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function told(value: unknown): string {
  if (value === undefined || value === null || value === "") return "–";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(told).join(", ");
  return JSON.stringify(value);
}

function Related({ ws, of: e }: { ws: string; of: AuditEvent }) {
  return (
    <p className="row small">
      <Link to="/w/$ws/audit" params={{ ws }} search={{ target: e.target.id }}>
        All events about {e.target.name || "it"}
      </Link>
      {e.actor.id && (
        <Link to="/w/$ws/audit" params={{ ws }} search={{ actor: e.actor.id }}>
          All events by {e.actor.name || "this actor"}
        </Link>
      )}
    </p>
  );
}
