import { useQuery } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { hasPasskeys, provePasskey } from "../api/passkey";
import { type Problem, ProblemError, problemOf } from "../api/problem";
import { currentSession, proveAgain } from "../api/sessions";
import { onStepUp } from "../api/stepup";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { Summary } from "../ui/summary";

type Asked = Parameters<Parameters<typeof onStepUp>[0]>[0];

const declined = new ProblemError({
  status: 403,
  code: "step_up_declined",
  title: "Not done",
  detail: "It needs a fresh proof of who you are.",
});

/** StepUp asks people to prove again who they are, when something needs that. */
export function StepUp() {
  const [asked, setAsked] = useState<Asked>();
  useEffect(() => onStepUp((who) => setAsked(who)), []);
  if (!asked) return null;
  return (
    <Ask
      onDone={() => {
        setAsked(undefined);
        asked.done();
      }}
      onClose={() => {
        setAsked(undefined);
        asked.failed(declined);
      }}
    />
  );
}

function Ask({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const me = useQuery(currentSession);
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const prove = async (proof: () => Promise<Parameters<typeof proveAgain>[0]>) => {
    setBusy(true);
    try {
      await proveAgain(await proof());
      onDone();
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    e.stopPropagation(); // the form that waits for this is above it in the tree
    const password = String(new FormData(e.currentTarget).get("password"));
    void prove(async () => ({ password }));
  };
  const person = me.data?.person;
  return (
    <Dialog
      title="Is it still you?"
      description="This needs a proof that is younger than 15 minutes."
      onClose={onClose}
    >
      <Summary problem={problem} />
      {person && person.passkeys > 0 && hasPasskeys() && (
        <Button
          kind="primary"
          busy={busy}
          onClick={() => void prove(async () => ({ passkey: await provePasskey("step_up") }))}
        >
          <KeyRound aria-hidden /> Use a passkey
        </Button>
      )}
      {person?.has_password !== false && (
        <form className="stack" onSubmit={submit}>
          <Field label="Password" name="password" type="password" required autoComplete="current-password" />
          <div className="row" data-end>
            <Button onClick={onClose}>Cancel</Button>
            <Button kind="primary" type="submit" busy={busy}>
              Continue
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
