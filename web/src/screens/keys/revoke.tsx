import { type FormEvent, useRef, useState } from "react";
import { revokeKey, useChange } from "../../api/changes";
import type { Key } from "../../api/queries";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { CheckBox, Field, SelectField } from "../../ui/field";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { Ending } from "./ending";

const reasons = [
  ["unused", "It is not used any more"],
  ["superseded", "Another key took its place"],
  ["compromised", "Somebody else may know its value"],
  ["owner_left", "Who used it has left"],
  ["other", "Another reason"],
] as const;

interface RevokeProps {
  ws: string;
  of: Key;
  onClose: () => void;
}

/** RevokeKey ends a key, and stays until every node has confirmed it. */
export function RevokeKey({ ws, of: k, onClose }: RevokeProps) {
  const cancel = useRef<HTMLButtonElement>(null);
  const [reason, setReason] = useState("unused");
  const [descendants, setDescendants] = useState(false);
  const change = useChange(ws, revokeKey(ws, k.id));
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const note = String(new FormData(e.currentTarget).get("note") ?? "").trim();
    change.send({ reason, ...(note && { note }), ...(descendants && { descendants }) });
  };
  const receipt = change.done?.receipt ?? change.problem?.receipt;
  if (receipt) {
    return (
      <Ending ws={ws} receipt={receipt} title={`Revoke ${k.name}`} onClose={onClose}>
        {change.done && change.done.descendants.length > 0 && (
          <Note tone="warn">
            {many(change.done.descendants.length, "thing")} made with this key:{" "}
            {change.done.descendants.map((d) => `${d.name} (${d.state})`).join(", ")}
          </Note>
        )}
      </Ending>
    );
  }
  return (
    <Confirm title={`Revoke ${k.name}?`} onCancel={onClose} focus={cancel}>
      <p>It stops working instantly, on every node. This cannot be undone.</p>
      <Note tone={k.last_used ? "warn" : "info"}>
        {k.principal.name} · last used <Time at={k.last_used?.at} none="never" />
        {k.last_used?.source.ip && ` from ${k.last_used.source.ip}`}
      </Note>
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        <SelectField label="Reason" value={reason} onChange={(e) => setReason(e.target.value)}>
          {reasons.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </SelectField>
        <Field label="Note" name="note" maxLength={500} autoComplete="off" />
        {reason === "compromised" && (
          <CheckBox checked={descendants} onChange={setDescendants}>
            Revoke what was made with it too: keys, and accounts
          </CheckBox>
        )}
        <div className="row" data-end>
          <Button ref={cancel} onClick={onClose}>
            Cancel
          </Button>
          <Button kind="danger" type="submit" busy={change.busy}>
            Revoke
          </Button>
        </div>
      </form>
    </Confirm>
  );
}
