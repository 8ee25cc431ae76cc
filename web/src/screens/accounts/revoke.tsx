import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { revokeAccount, useChange } from "../../api/changes";
import { accountImpact, type ServiceAccount } from "../../api/queries";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { count, many } from "../../ui/numbers";
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
      <Blast ws={ws} of={a} />
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
function Blast({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const found = useQuery(accountImpact(ws, a.id));
  const i = found.data;
  return (
    <Note tone="warn">
      {many(i?.active_keys ?? a.keys.active, "active key")} · last used{" "}
      <Time at={i?.last_used_at ?? a.last_used?.at} none="never" />
      {i && (
        <>
          {" · "}
          {rate(i.requests_per_minute)} from {many(i.sources.length, "address", "addresses")}
          {i.rotations.length > 0 && ` · ${many(i.rotations.length, "rotation")} in progress`}
        </>
      )}
    </Note>
  );
}

/** rate writes how often something happens in a minute. */
function rate(perMinute: number): string {
  if (perMinute > 0 && perMinute < 1) return "less than 1 request/min";
  return `${count(Math.round(perMinute))} ${Math.round(perMinute) === 1 ? "request" : "requests"}/min`;
}
