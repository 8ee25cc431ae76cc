import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { invite, useChange } from "../../api/changes";
import { fieldError } from "../../api/problem";
import { roles } from "../../api/queries";
import { Button } from "../../ui/button";
import { CopyButton } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { onDate } from "../../ui/time";
import { RoleChoices } from "../roles/choose";

/** Invite is the dialog that invites a person. The link is shown once. */
export function Invite() {
  const { ws } = useParams({ from: "/w/$ws/settings/members/invite" });
  const navigate = useNavigate();
  const close = () => navigate({ to: "/w/$ws/settings/members", params: { ws } });
  const all = useQuery(roles(ws));
  const [role, setRole] = useState("viewer");
  const change = useChange(ws, invite(ws));
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    change.send({ email: String(new FormData(e.currentTarget).get("email")).trim(), role });
  };
  if (change.done) {
    const { email, token, expires_at } = change.done;
    return (
      <Dialog title={`${email} is invited`} onClose={close}>
        <p>
          Send this link to {email}. It works once, until {onDate(Date.parse(expires_at))}.
        </p>
        <div className="row">
          <code className="secret" data-first tabIndex={-1}>{`${location.origin}/invite#${token}`}</code>
          <CopyButton kind="primary" text={`${location.origin}/invite#${token}`} />
        </div>
        <Note tone="warn">This is the only time you can see this link. Whoever has it can join in their place.</Note>
        <div className="row" data-end>
          <Button onClick={close}>Done</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Invite a person" onClose={close}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        <Field
          label="Email"
          name="email"
          type="email"
          required
          autoComplete="off"
          error={fieldError(change.problem, "/email")}
        />
        <RoleChoices
          ws={ws}
          roles={all.data ?? []}
          value={role}
          onChange={setRole}
          forPeople
          error={fieldError(change.problem, "/role")}
        />
        <div className="row" data-end>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy}>
            Invite
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
