import { tryWithout, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import type { Rotation } from "../../api/queries";
import { Button } from "../../ui/button";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { where } from "./words";

const spans = [
  ["1m", "1 minute"],
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
] as const;

/** Trial pauses the old key for a while, and shows who is refused. */
export function Trial({ ws, of: r }: { ws: string; of: Rotation }) {
  const may = useMay()("iam.keys:write");
  const change = useChange(ws, tryWithout(ws, r.id));
  const running = r.trial && !r.trial.ended_at;
  return (
    <div className="stack">
      <Summary problem={change.problem} />
      {!running && (
        <div className="row">
          {spans.map(([value, label]) => (
            <Button key={value} reason={may} busy={change.busy} onClick={() => change.send({ for: value })}>
              For {label}
            </Button>
          ))}
        </div>
      )}
      {r.trial && (
        <div role="status">
          <Note tone={r.trial.refused.length > 0 ? "danger" : running ? "warn" : "ok"}>
            <strong>
              {running ? (
                <>
                  The old key is paused. It works again <Time ahead at={r.trial.ends_at} />.
                </>
              ) : (
                <>
                  Tried <Time at={r.trial.started_at} />; the old key works again.
                </>
              )}
            </strong>
            {r.trial.refused.length === 0 ? (
              <p>{running ? "Nobody was refused so far." : "Nobody was refused."}</p>
            ) : (
              <ul>
                {r.trial.refused.map((s) => (
                  <li key={s.ip + s.user_agent}>
                    {where(s)} was refused {many(s.count, "time")}, last <Time at={s.last_seen} />
                  </li>
                ))}
              </ul>
            )}
          </Note>
        </div>
      )}
    </div>
  );
}
