import { type FormEvent, useEffect, useState } from "react";
import { finishRotation, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import type { Receipt, Rotation } from "../../api/queries";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Summary } from "../../ui/summary";
import { where } from "./words";

/** Finish revokes the old key: with one click when nobody uses it, and else only for
    somebody who has read who will break. */
export function Finish({ ws, of: r, onReceipt }: { ws: string; of: Rotation; onReceipt: (receipt: Receipt) => void }) {
  const may = useMay()("iam.keys:write");
  const [typed, setTyped] = useState("");
  const change = useChange(ws, finishRotation(ws, r.id), (done) => onReceipt(done.receipt));
  const unconfirmed = change.problem?.receipt;
  useEffect(() => {
    if (unconfirmed) onReceipt(unconfirmed);
  }, [unconfirmed, onReceipt]);
  if (r.ready) {
    return (
      <>
        <Summary problem={unconfirmed ? undefined : change.problem} />
        <Button kind="primary" reason={may} busy={change.busy} onClick={() => change.send({})}>
          Revoke the old key
        </Button>
      </>
    );
  }
  const left = r.sources.filter((s) => !s.moved && s.old_last_seen);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    change.send({ force: true });
  };
  return (
    <form className="stack narrow" onSubmit={submit}>
      <Summary problem={unconfirmed ? undefined : change.problem} />
      <div>
        <strong>{left.length > 0 ? "These will be refused:" : "It is not known that nobody uses it."}</strong>
        <ul>
          {left.map((s) => (
            <li key={s.ip + s.user_agent}>{where(s)}</li>
          ))}
        </ul>
      </div>
      <Field
        label={`Type ${r.old_key.name} to revoke it all the same`}
        name="confirm"
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(e) => setTyped(e.target.value)}
      />
      <div className="row">
        <Button
          kind="danger"
          type="submit"
          busy={change.busy}
          reason={may ?? (typed === r.old_key.name ? undefined : "Type the name of the old key first.")}
        >
          Revoke the old key
        </Button>
      </div>
    </form>
  );
}
