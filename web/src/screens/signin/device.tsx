import { useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useAct } from "../../api/act";
import type { Schema } from "../../api/client";
import { answerDevice, lookUpDevice } from "../../api/sessions";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { Alone } from "./alone";

/** Device is where a program that shows a code is approved. */
export function Device() {
  const search = useSearch({ from: "/device" });
  const [found, setFound] = useState<Schema["Device"]>();
  const look = useAct(lookUpDevice, setFound);
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    look.send(String(new FormData(e.currentTarget).get("code")).trim().toUpperCase());
  };
  if (found) return <Compare of={found} onChange={setFound} />;
  return (
    <Alone title="Sign in a device" text="Type the code that the postern command shows.">
      <Summary problem={look.problem} />
      <form className="stack" onSubmit={submit}>
        <Field
          label="Code"
          name="code"
          required
          autoComplete="off"
          spellCheck={false}
          autoCapitalize="characters"
          placeholder="WDJB-MJHT"
          defaultValue={search.user_code ?? ""}
        />
        <Button kind="primary" type="submit" busy={look.busy}>
          Continue
        </Button>
      </form>
    </Alone>
  );
}

/** halves writes a code as programs show it, so that the two can be compared. */
export function halves(code: string): string {
  return /^\w{8}$/.test(code) ? `${code.slice(0, 4)}-${code.slice(4)}` : code;
}

function Compare({ of, onChange }: { of: Schema["Device"]; onChange: (now: Schema["Device"]) => void }) {
  const act = useAct(answerDevice, (answer) => onChange(answer.device));
  if (of.state !== "pending") {
    return (
      <Alone title={of.state === "approved" ? "Approved" : "Refused"}>
        <Note tone={of.state === "approved" ? "ok" : "info"}>
          {of.state === "approved"
            ? `${of.name || "The device"} now has an API key that acts as you. You can close this page.`
            : `${of.name || "The device"} got nothing. You can close this page.`}
        </Note>
      </Alone>
    );
  }
  const answer = (approve: boolean) => act.send({ user_code: of.user_code, approve });
  return (
    <Alone
      title="Is this your device?"
      text="Approve it only if the same code is shown there, and you began this yourself."
    >
      <Summary problem={act.problem} />
      <p className="code-compare">{halves(of.user_code)}</p>
      <dl className="definitions">
        <dt>Name</dt>
        <dd>{of.name || "It gave none"}</dd>
        <dt>Asks from</dt>
        <dd>{of.source.ip}</dd>
        <dt>Since</dt>
        <dd>
          <Time at={of.created_at} />
        </dd>
      </dl>
      <p className="small dim">It gets an API key that acts as you, within the policy of your workspace.</p>
      <div className="row" data-end>
        <Button busy={act.busy} onClick={() => answer(false)}>
          Refuse
        </Button>
        <Button kind="primary" busy={act.busy} onClick={() => answer(true)}>
          Approve
        </Button>
      </div>
    </Alone>
  );
}
