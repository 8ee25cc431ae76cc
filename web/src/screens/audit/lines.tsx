import { Link } from "@tanstack/react-router";
import type { AuditEvent } from "../../api/queries";
import { Time } from "../../ui/time";
import { sentence } from "./words";

/** EventLines are events in a few words each, where there is room for no more. */
export function EventLines({ ws, events }: { ws: string; events: AuditEvent[] }) {
  if (events.length === 0) return <p className="dim small">Nothing yet.</p>;
  return (
    <ul className="lines">
      {events.map((e) => (
        <li key={e.id}>
          <Link className="plain-link" to="/w/$ws/audit/$evt" params={{ ws, evt: e.id }}>
            {sentence(e)}
          </Link>
          <span className="dim small">
            <Time at={e.at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
