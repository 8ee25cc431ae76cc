import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { startRotation, useChange } from "../../api/changes";
import { type Key, key } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Summary } from "../../ui/summary";
import { Once } from "../keys/once";
import { dayOf, endOf, TermFields } from "./terms";

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
  const [terms, setTerms] = useState(() => ({ quiet: "learnt", auto: false, date: dayOf(Date.now() + week) }));
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
      ...(terms.quiet !== "learnt" && { quiet_for: terms.quiet }),
      ...(terms.auto && { auto_revoke: true }),
      ...(terms.date && { deadline: endOf(terms.date) ?? "" }),
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
        <TermFields value={terms} onChange={setTerms} problem={change.problem} />
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
