import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { rowsOf } from "../../api/lists";
import { auditEvents, nodes, seats } from "../../api/queries";
import { count } from "../../ui/numbers";
import { Head, Panel, Section } from "../../ui/page";
import { EventLines } from "../audit/lines";
import { NodesStrip } from "../settings/strip";

/** Overview is the first page: what there is, and what needs somebody. */
export function Overview() {
  const { ws } = useParams({ from: "/w/$ws/" });
  return (
    <>
      <Head title="Overview" />
      <SeatsLine ws={ws} />
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
      <Section title="Nodes">
        <Strip ws={ws} />
      </Section>
    </>
  );
}

function SeatsLine({ ws }: { ws: string }) {
  const taken = useQuery(seats(ws));
  if (!taken.data) return null;
  const { used, limit } = taken.data;
  return (
    <p className="dim">
      {limit === null ? `${count(used)} seats used.` : `${count(used)} of ${count(limit)} seats used.`} Service accounts
      never count.
    </p>
  );
}

function Latest({ ws }: { ws: string }) {
  const events = useInfiniteQuery(auditEvents(ws, {}));
  return <EventLines ws={ws} events={rowsOf(events.data).slice(0, 8)} />;
}

function Strip({ ws }: { ws: string }) {
  return <NodesStrip nodes={useQuery(nodes(ws)).data ?? []} />;
}
