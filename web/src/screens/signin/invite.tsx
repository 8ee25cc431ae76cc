import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { useAct } from "../../api/act";
import { makePasskey } from "../../api/passkey";
import { fieldError } from "../../api/problem";
import { acceptInvitation } from "../../api/sessions";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { Alone, useFragment } from "./alone";
import { Credential, useWay } from "./credential";
import { NoToken } from "./setup";

/** AcceptInvitation is where the link of an invitation leads. */
export function AcceptInvitation() {
  const token = useFragment();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [way, setWay] = useWay();
  const act = useAct(
    async (form: { name: string; password: string }) =>
      acceptInvitation({
        token,
        name: form.name,
        ...(way === "password"
          ? { password: form.password }
          : { passkey: await makePasskey({ token, name: form.name }) }),
      }),
    () => {
      queries.clear();
      void navigate({ to: "/", replace: true });
    },
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    act.send({ name: String(form.get("name")).trim(), password: String(form.get("password") ?? "") });
  };
  if (!token) return <NoToken />;
  return (
    <Alone title="Join the workspace" text="You were invited. This link works once.">
      {act.problem?.status === 410 ? (
        <Note tone="warn">
          This invitation cannot be accepted any more: it was used, cancelled, or is at its end. Ask who invited you for
          another.
        </Note>
      ) : (
        <Summary problem={act.problem} />
      )}
      <form className="stack" onSubmit={submit}>
        <Field label="Your name" name="name" required autoComplete="name" error={fieldError(act.problem, "/name")} />
        <Credential way={way} onChange={setWay} problem={act.problem} pointer="/password" />
        <Button kind="primary" type="submit" busy={act.busy}>
          Join
        </Button>
      </form>
    </Alone>
  );
}
