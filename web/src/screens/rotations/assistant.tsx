import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { Check } from "lucide-react";
import { useState } from "react";
import { cancelRotation, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import { isOver, type Receipt, type Rotation, rotation } from "../../api/queries";
import { nameOf } from "../../ui/actor";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Menu, MenuItem } from "../../ui/menu";
import { Note } from "../../ui/note";
import { Panel, Section } from "../../ui/page";
import { Failure, Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { useToast } from "../../ui/toast";
import { Ending } from "../keys/ending";
import { Finish } from "./finish";
import { Lanes } from "./lanes";
import { Trial } from "./trial";
import { states, step, where } from "./words";

/** Assistant leads through a rotation, which goes on when nobody looks. */
export function Assistant() {
  const { ws, sa, rot } = useParams({ strict: false }) as { ws: string; sa: string; rot: string };
  const found = useQuery(rotation(ws, rot));
  const [receipt, setReceipt] = useState<Receipt>();
  if (!found.data) {
    return found.error ? (
      <Failure problem={problemOf(found.error)} onRetry={() => void found.refetch()} />
    ) : (
      <Waiting />
    );
  }
  const r = found.data;
  return (
    <div className="below-tabs">
      <div className="head-row">
        <div className="grow">
          <Link className="small" to="/w/$ws/settings/service-accounts/$sa" params={{ ws, sa }}>
            All keys of {sa}
          </Link>
          <div className="row">
            <h2>
              Rotate {r.old_key.name} to {r.new_key.name}
            </h2>
            <Badge tone={states[r.state].tone}>{states[r.state].name}</Badge>
          </div>
          <p className="dim small">
            Started <Time at={r.started_at} /> by {nameOf(r.started_by)}
            {r.deadline && !isOver(r) && (
              <>
                {" "}
                · due <Time ahead at={r.deadline} />
              </>
            )}
          </p>
        </div>
        {!isOver(r) && <Cancel ws={ws} of={r} />}
      </div>
      <Steps of={r} />
      <Lanes ws={ws} of={r} />
      <Blockers of={r} />
      {r.state === "completed" || r.state === "cancelled" ? (
        <Over of={r} />
      ) : (
        <Act ws={ws} of={r} onReceipt={setReceipt} />
      )}
      {receipt && (
        <Ending ws={ws} receipt={receipt} title={`Revoke ${r.old_key.name}`} onClose={() => setReceipt(undefined)} />
      )}
      <Outlet />
    </div>
  );
}

const steps = [
  "Generate a second key",
  "Deploy it to the consumer",
  "Verify traffic on the new key",
  "Revoke the old key",
];

function Steps({ of }: { of: Rotation }) {
  const at = step(of);
  return (
    <ol className="steps" aria-label="Steps of the rotation">
      {steps.map((name, i) => {
        const n = i + 1;
        const done = n < at && of.state !== "cancelled";
        return (
          <li key={name} data-done={done || undefined} aria-current={n === at ? "step" : undefined}>
            <span className="step-mark">{done ? <Check role="img" aria-label="Done" /> : n}</span>
            {name}
          </li>
        );
      })}
    </ol>
  );
}

function Blockers({ of: r }: { of: Rotation }) {
  if (isOver(r)) return null;
  if (r.ready) {
    return (
      <Note tone="ok">
        <strong>Nobody uses the old key any more.</strong> It has been quiet{" "}
        {r.quiet_since && (
          <>
            since <Time at={r.quiet_since} />
          </>
        )}
        , longer than {r.quiet_for}. You can revoke it.
      </Note>
    );
  }
  if (r.state === "waiting_for_first_use") {
    return (
      <Note>
        <strong>Deploy the new key to its consumer.</strong> You can close this page. We will tell you when it is time.
      </Note>
    );
  }
  return (
    <Note tone="warn">
      <ul>
        {r.blockers.map((b) => (
          <li key={b.code + b.detail}>
            {b.source ? (
              <>
                <strong>{where(b.source)} has not</strong>
                {b.source.old_last_seen && (
                  <>
                    , last seen <Time at={b.source.old_last_seen} />
                  </>
                )}
              </>
            ) : (
              <Blocker of={b} quietFor={r.quiet_for} />
            )}
          </li>
        ))}
      </ul>
    </Note>
  );
}

/** Blocker says what else is in the way, with times as they are written here. */
function Blocker({ of: b, quietFor }: { of: Rotation["blockers"][number]; quietFor: string }) {
  if (b.code === "not_quiet" && b.until) {
    return (
      <>
        The old key must be quiet for {quietFor}. That is <Time ahead at={b.until} /> if nobody uses it before.
      </>
    );
  }
  return <>{b.detail.charAt(0).toUpperCase() + b.detail.slice(1)}.</>;
}

/** terms say when the old key may be revoked. */
function terms(r: Rotation): string {
  const learnt = r.quiet_for_learnt ? ", which was learnt from its use" : "";
  return r.auto_revoke
    ? `It is revoked by itself when it has been quiet for ${r.quiet_for}${learnt}, and never while it is in use.`
    : `It counts as unused when it has been quiet for ${r.quiet_for}${learnt}.`;
}

function Act({ ws, of: r, onReceipt }: { ws: string; of: Rotation; onReceipt: (receipt: Receipt) => void }) {
  const navigate = useNavigate();
  const may = useMay()("iam.keys:write");
  return (
    <>
      <Section
        title="Try without the old key"
        text="It is paused for a while, and works again by itself, whoever watches."
      >
        <Panel>
          <Trial ws={ws} of={r} />
        </Panel>
      </Section>
      <Section
        title="Revoke the old key"
        text={terms(r)}
        actions={
          <Button
            reason={may}
            onClick={() =>
              navigate({
                to: "/w/$ws/settings/service-accounts/$sa/rotations/$rot/change",
                params: { ws, sa: r.principal.name, rot: r.id },
                resetScroll: false,
              })
            }
          >
            Change when
          </Button>
        }
      >
        <Panel {...(!r.ready && { tone: "danger" as const })}>
          <Finish ws={ws} of={r} onReceipt={onReceipt} />
        </Panel>
      </Section>
    </>
  );
}

function Over({ of: r }: { of: Rotation }) {
  return (
    <Note tone={r.state === "completed" ? "ok" : "info"}>
      {r.state === "completed"
        ? `${r.old_key.name} is revoked. ${r.new_key.name} took its place.`
        : `The rotation was cancelled${r.new_key.state === "revoked" ? `, and ${r.new_key.name} revoked` : ". Both keys go on working"}.`}{" "}
      <Time at={r.ended_at} none="" />
    </Note>
  );
}

function Cancel({ ws, of: r }: { ws: string; of: Rotation }) {
  const toast = useToast();
  const may = useMay()("iam.keys:write");
  const [keep, setKeep] = useState<"both" | "old">("both");
  const change = useChange(ws, cancelRotation(ws, r.id), () => toast("The rotation is cancelled."));
  const send = (kept: "both" | "old") => {
    setKeep(kept);
    change.send({ keep: kept });
  };
  return (
    <div className="stack">
      <Menu
        label="Cancel the rotation"
        trigger={
          <button type="button" className="button">
            Cancel rotation
          </button>
        }
      >
        <MenuItem reason={may} onSelect={() => send("both")}>
          Keep both keys
        </MenuItem>
        <MenuItem kind="danger" reason={may} onSelect={() => send("old")}>
          Keep the old key, revoke the new one
        </MenuItem>
      </Menu>
      <Summary problem={change.problem} />
      {change.problem && <Button onClick={() => send(keep)}>Try again</Button>}
    </div>
  );
}
