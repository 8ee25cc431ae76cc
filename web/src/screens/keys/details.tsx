import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schema } from "../../api/client";
import { rowsOf } from "../../api/lists";
import { auditEvents, type Key, keyUsage } from "../../api/queries";
import { nameOf } from "../../ui/actor";
import { Chart } from "../../ui/bars";
import { CopyIcon } from "../../ui/copy";
import { count, many } from "../../ui/numbers";
import { Waiting } from "../../ui/states";
import { Time } from "../../ui/time";
import { EventLines } from "../audit/lines";

/** KeyDetails is all that is known of a key. */
export function KeyDetails({ ws, of: k }: { ws: string; of: Key }) {
  return (
    <>
      <dl className="definitions">
        <dt>Value</dt>
        <dd>
          <code>{k.hint}</code>
        </dd>
        <dt>Id</dt>
        <dd className="row">
          <code>{k.id}</code>
          <CopyIcon text={k.id} label="Copy the id" />
        </dd>
        <dt>Expires</dt>
        <dd>
          <Time ahead at={k.expires_at} />
        </dd>
        <dt>Last used</dt>
        <dd>
          <Time at={k.last_used?.at} />
          {k.last_used?.source.ip && <> from {k.last_used.source.ip}</>}
        </dd>
        <dt>Made</dt>
        <dd>
          <Time at={k.created_at} /> by {nameOf(k.created_by)}
        </dd>
        <dt>Limit</dt>
        <dd>
          {k.limit
            ? k.limit.map((p) => (
                <code key={p} className="chip">
                  {p}
                </code>
              ))
            : "All that the role allows"}
        </dd>
        <dt>Networks</dt>
        <dd>
          {k.allowed_networks
            ? k.allowed_networks.map((n) => (
                <code key={n} className="chip">
                  {n}
                </code>
              ))
            : "From anywhere"}
        </dd>
        {k.revoked && (
          <>
            <dt>Revoked</dt>
            <dd>
              <Time at={k.revoked.at} /> by {nameOf(k.revoked.by)}
              {k.revoked.reason && <> ({k.revoked.reason})</>}
              {k.revoked.note && <p className="dim">{k.revoked.note}</p>}
            </dd>
          </>
        )}
      </dl>
      <KeyTraffic ws={ws} of={k} />
      <KeyAudit ws={ws} id={k.id} />
    </>
  );
}

const shownSources = 20;

/** doors are what a key may have been used at, before the name of the node. */
const doors: Record<Schema["UsageSource"]["via"], string> = {
  server: "at",
  gateway: "at the gateway of",
  verifier: "at the verifier",
  "": "at",
};

function KeyTraffic({ ws, of: k }: { ws: string; of: Key }) {
  const used = useQuery(keyUsage(ws, k.id, "1d", 30));
  if (!used.data) return <Waiting />;
  const sources = used.data.sources.slice(0, shownSources);
  return (
    <section className="stack" data-tight>
      <h3>Traffic in 30 days</h3>
      <Chart points={used.data.points} step="1d" label={`Traffic of ${k.name} in 30 days`} />
      <h3>Where it is used from</h3>
      {sources.length === 0 && <p className="dim small">Nowhere yet.</p>}
      <ul className="lines">
        {sources.map((s) => (
          <li key={s.ip + s.user_agent}>
            <span>
              {s.others ? "All other places" : s.ip || "An unknown address"}{" "}
              <span className="dim small">{s.user_agent}</span>
              <p className="dim small">
                {many(s.ok, "request")}
                {s.refused > 0 && `, ${count(s.refused)} refused`}
                {s.node && ` · ${doors[s.via]} ${s.node}`} · first seen <Time at={s.first_seen} />
              </p>
            </span>
            <span className="small dim">
              <Time at={s.last_seen} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function KeyAudit({ ws, id }: { ws: string; id: string }) {
  const events = useInfiniteQuery(auditEvents(ws, { target: id }));
  if (events.error) return null; // it needs a permission of its own
  return (
    <section className="stack" data-tight>
      <div className="row">
        <h3 className="grow">What happened to it</h3>
        <Link className="small" to="/w/$ws/audit" params={{ ws }} search={{ target: id }}>
          In the audit log
        </Link>
      </div>
      <EventLines ws={ws} events={rowsOf(events.data).slice(0, 8)} />
    </section>
  );
}
