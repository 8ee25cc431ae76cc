import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { revokeAccount, useChange } from "../../api/changes";
import type { ServiceAccount } from "../../api/queries";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { Ending } from "../keys/ending";
import { useAccount } from "./account";

/** RevokeAccount is the dialog that ends an account and every key it owns. */
export function RevokeAccount() {
  const { ws, sa, of } = useAccount();
  const navigate = useNavigate();
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return of ? <Revoke ws={ws} of={of} onClose={close} /> : null;
}

function Revoke({ ws, of: a, onClose }: { ws: string; of: ServiceAccount; onClose: () => void }) {
  const cancel = useRef<HTMLButtonElement>(null);
  const [typed, setTyped] = useState("");
  const change = useChange(ws, revokeAccount(ws, a.id));
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const reason = String(new FormData(e.currentTarget).get("reason") ?? "").trim();
    change.send(reason ? { reason } : {});
  };
  const receipt = change.done?.receipt ?? change.problem?.receipt;
  if (receipt) {
    return <Ending ws={ws} receipt={receipt} title={`Revoke ${a.name}`} onClose={onClose} />;
  }
  return (
    <Confirm title={`Revoke ${a.name}?`} onCancel={onClose} focus={cancel}>
      <p>Every key it owns stops working instantly. This cannot be undone.</p>
      <Blast of={a} />
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        <Field label="Reason" name="reason" maxLength={500} autoComplete="off" />
        <Field
          label={`Type ${a.name} to confirm`}
          name="confirm"
          required
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(e) => setTyped(e.target.value)}
        />
        <div className="row" data-end>
          <Button ref={cancel} onClick={onClose}>
            Cancel
          </Button>
          <Button
            kind="danger"
            type="submit"
            busy={change.busy}
            reason={typed === a.name ? undefined : "Type the name of the account first."}
          >
            Revoke
          </Button>
        </div>
      </form>
    </Confirm>
  );
}

/** Blast says what will stop. */
function Blast({ of: a }: { of: ServiceAccount }) {
  return (
    <Note tone="warn">
      {many(a.keys.active, "active key")} · last used <Time at={a.last_used?.at} none="never" />
    </Note>
  );
}
