import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { startRotation, useChange } from "../../api/changes";
import { type Key, key } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { CheckBox } from "../../ui/field";
import { Segments } from "../../ui/segments";
import { Summary } from "../../ui/summary";
import { onDate } from "../../ui/time";
import { Once } from "../keys/once";

const quiets = [
  { value: "learnt", label: "Learnt" },
  { value: "1m", label: "1 min" },
  { value: "10m", label: "10 min" },
  { value: "1h", label: "1 h" },
  { value: "24h", label: "24 h" },
] as const;

type Quiet = (typeof quiets)[number]["value"];

const week = 7 * 86_400_000;

/** StartRotation is the first step: a second key, beside the one that is to go. */
export function StartRotation() {
  const { ws, sa, key: id } = useParams({ strict: false }) as { ws: string; sa: string; key: string };
  const navigate = useNavigate();
  const found = useQuery(key(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return found.data ? <Start ws={ws} sa={sa} of={found.data} onClose={close} /> : null;
}

function Start({ ws, sa, of: k, onClose }: { ws: string; sa: string; of: Key; onClose: () => void }) {
  const navigate = useNavigate();
  const [quiet, setQuiet] = useState<Quiet>("learnt");
  const [auto, setAuto] = useState(false);
  const [deadline] = useState(() => Date.now() + week);
  const [made, setMade] = useState<{ value: string; name: string; rotation: string }>();
  const change = useChange(ws, startRotation(ws, k.id), ({ new_key, rotation }) =>
    setMade({ value: new_key.value, name: new_key.name, rotation: rotation.id }),
  );
  if (made) {
    const done = () => {
      const rot = made.rotation;
      setMade(undefined);
      change.reset();
      setTimeout(
        () => void navigate({ to: "/w/$ws/settings/service-accounts/$sa/rotations/$rot", params: { ws, sa, rot } }),
      );
    };
    return <Once title="Copy the value of the second key" value={made.value} name={made.name} onDone={done} />;
  }
  const submit = (e: FormEvent) => {
    e.preventDefault();
    change.send({
      ...(quiet !== "learnt" && { quiet_for: quiet }),
      ...(auto && { auto_revoke: true }),
      deadline: new Date(deadline).toISOString(),
    });
  };
  return (
    <Dialog title={`Rotate ${k.name}`} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <p>
          You get a second key with the same limit, networks and lifetime. Both work until you have seen that nobody
          uses the old one any more; then you revoke it.
        </p>
        <Summary problem={change.problem} />
        <Segments
          label="The old key counts as unused when it has been quiet for"
          options={quiets}
          value={quiet}
          onChange={setQuiet}
        />
        <p className="small dim">
          {quiet === "learnt"
            ? "What the policy of this workspace says, or twice the longest gap between two uses that was seen in 30 days."
            : "The rotation is ready when the new key is in use and the old one has been quiet for so long."}
        </p>
        <CheckBox checked={auto} onChange={setAuto}>
          Revoke the old key by itself when it has been quiet, but never while it is in use
        </CheckBox>
        <p className="small dim">
          If it is not ready by {onDate(deadline)}, it is marked overdue. Nothing is revoked by that.
        </p>
        <div className="row" data-end>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy} data-first>
            Generate a second key
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
