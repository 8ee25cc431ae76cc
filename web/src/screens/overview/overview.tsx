import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schema } from "../../api/client";
import { rowsOf } from "../../api/lists";
import { useAllowed } from "../../api/me";
import { problemOf } from "../../api/problem";
import { auditEvents, nodes, overview, usage } from "../../api/queries";
import { Chart, total } from "../../ui/bars";
import { OutOfDate } from "../../ui/list";
import { count } from "../../ui/numbers";
import { Head, Panel, Section } from "../../ui/page";
import { Failure } from "../../ui/states";
import { EventLines } from "../audit/lines";
import { NodesStrip } from "../settings/strip";
import { Needs } from "./attention";
import { Begin } from "./begin";

/** Overview is the first page: what there is, and what needs somebody. */
export function Overview() {
  const { ws } = useParams({ from: "/w/$ws/" });
  const allowed = useAllowed();
  const numbers = useQuery(overview(ws));
  return (
    <>
      <Head title="Overview" />
      {numbers.error && numbers.data ? (
        <OutOfDate error={numbers.error} onRetry={() => void numbers.refetch()} />
      ) : null}
      {numbers.error && !numbers.data ? (
        <div className="table-wrap">
          <Failure problem={problemOf(numbers.error)} onRetry={() => void numbers.refetch()} />
        </div>
      ) : (
        <Tiles ws={ws} of={numbers.data} />
      )}
      <Begin ws={ws} />
      <Needs ws={ws} of={numbers.data?.attention ?? []} />
      {allowed("iam.keys:read") && <Today ws={ws} />}
      {allowed("iam.audit:read") && (
        <Section
          title="Latest events"
          actions={
            <Link className="small" to="/w/$ws/audit" params={{ ws }}>
              Audit log
            </Link>
          }
        >
          <Panel>
            <Latest ws={ws} />
          </Panel>
        </Section>
      )}
      {allowed("iam.nodes:read") && (
        <Section title="Nodes">
          <Strip ws={ws} />
        </Section>
      )}
    </>
  );
}

/** useTraffic is how the workspace was used in the last 24 hours, hour by hour. */
function useTraffic(ws: string) {
  const found = useQuery({ ...usage(ws, {}, "1h", 2), enabled: useAllowed()("iam.keys:read") });
  return found.data?.[0]?.points.slice(-24);
}

function Tiles({ ws, of }: { ws: string; of: Schema["Overview"] | undefined }) {
  const taken = of?.seats;
  const used = taken && (taken.limit === null ? count(taken.used) : `${count(taken.used)} of ${count(taken.limit)}`);
  return (
    <ul className="tiles">
      <Tile
        name={
          <Link className="tile-link" to="/w/$ws/settings/service-accounts" params={{ ws }}>
            Active service accounts
          </Link>
        }
        value={of?.service_accounts && count(of.service_accounts.active)}
      />
      <Tile name={"Keys expiring in 14\u00a0days"} value={of?.keys && count(of.keys.expiring_14d)} />
      <Tile name={"Keys unused for 90\u00a0days"} value={of?.keys && count(of.keys.unused_90d)} />
      <Tile name={"Refused requests in 24\u00a0h"} value={of?.requests_24h && count(of.requests_24h.refused)} />
      <Tile
        name={
          <Link className="tile-link" to="/w/$ws/settings/members" params={{ ws }}>
            Seats
          </Link>
        }
        value={used}
        hint="Service accounts never count"
      />
    </ul>
  );
}

function Tile({ name, value, hint }: { name: ReactNode; value: string | null | undefined; hint?: string }) {
  return (
    <li className="tile">
      <span className="big number">{value ?? "–"}</span>
      <span className="small dim">
        {name}
        {hint && <span className="block">{hint}</span>}
      </span>
    </li>
  );
}

function Today({ ws }: { ws: string }) {
  const points = useTraffic(ws);
  const sum = total(points ?? []);
  return (
    <Section title="Traffic in 24 hours" text={`${count(sum.ok)} accepted, ${count(sum.refused)} refused.`}>
      <Panel>
        <Chart points={points ?? []} step="1h" label="Traffic in 24 hours" />
      </Panel>
    </Section>
  );
}

function Latest({ ws }: { ws: string }) {
  const events = useInfiniteQuery(auditEvents(ws, {}));
  return <EventLines ws={ws} events={rowsOf(events.data).slice(0, 8)} />;
}

function Strip({ ws }: { ws: string }) {
  return <NodesStrip nodes={useQuery(nodes(ws)).data ?? []} />;
}
