import { useQuery } from "@tanstack/react-query";
import { ArrowRight, CircleCheck, CircleDashed } from "lucide-react";
import { keyUsage, type Rotation } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Bars } from "../../ui/bars";
import { Time, useNow } from "../../ui/time";
import { where } from "./words";

/** Lanes show who still uses the old key, and who has moved to the new one. */
export function Lanes({ ws, of: r }: { ws: string; of: Rotation }) {
  const old = r.sources.filter((s) => !s.moved && s.old_last_seen);
  const moved = r.sources.filter((s) => s.moved || (s.new_last_seen && !s.old_last_seen));
  return (
    <div className="lanes">
      <Lane
        ws={ws}
        retiring={r.id}
        name="Old key"
        of={r.old_key}
        none="Nobody was seen with it."
        empty={old.length === 0}
      >
        {old.map((s) => (
          <li key={`${s.ip} ${s.user_agent}`} className="source">
            <CircleDashed aria-hidden />
            <span className="grow">{where(s)}</span>
            <span className="small dim">
              <Time at={s.old_last_seen} />
            </span>
          </li>
        ))}
      </Lane>
      <ArrowRight aria-hidden className="lanes-arrow" />
      <Lane ws={ws} name="New key" of={r.new_key} none="Nobody has used it yet." empty={moved.length === 0}>
        {moved.map((s) => (
          <li key={`${s.ip} ${s.user_agent}`} className="source" data-moved>
            <CircleCheck role="img" aria-label="Moved" />
            <span className="grow">{where(s)}</span>
            <span className="small dim">
              <Time at={s.new_last_seen} />
            </span>
          </li>
        ))}
      </Lane>
    </div>
  );
}

interface LaneProps {
  retiring?: string;
  ws: string;
  name: string;
  of: Rotation["old_key"];
  none: string;
  empty: boolean;
  children: React.ReactNode;
}

function Lane({ ws, retiring, name, of, none, empty, children }: LaneProps) {
  const now = useNow();
  const used = useQuery(keyUsage(ws, of.id, "1m", 60));
  return (
    <section className="lane" aria-label={name}>
      <div className="row">
        <h3 className="grow">
          {name} <span className="dim">{of.name}</span>
        </h3>
        <StateBadge of={{ ...of, rotation: retiring }} now={now} />
      </div>
      <code className="small dim">{of.hint}</code>
      {used.data && (
        <Bars points={used.data.points} step="1m" label={`${name} in 60 minutes`} width={360} height={44} />
      )}
      <ul className="sources">{children}</ul>
      {empty && <p className="dim small">{none}</p>}
    </section>
  );
}
