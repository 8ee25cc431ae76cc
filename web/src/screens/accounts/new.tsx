import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { createAccount, useChange } from "../../api/changes";
import { fieldError } from "../../api/problem";
import { roles } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Summary } from "../../ui/summary";
import { RoleChoices } from "../roles/choose";

/** NewAccount is the dialog over the list. It ends on the account's page. */
export function NewAccount() {
  const { ws } = useParams({ from: "/w/$ws/settings/service-accounts/new" });
  const navigate = useNavigate();
  const search = useSearch({ from: "/w/$ws/settings/service-accounts" });
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts", params: { ws }, search });
  const all = useQuery(roles(ws));
  const [role, setRole] = useState("operator");
  const change = useChange(ws, createAccount(ws), (made) =>
    navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa: made.name }, hash: "new-key" }),
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    change.send({ name: text("name"), description: text("description"), owner: text("owner"), role });
  };
  return (
    <Dialog title="New service account" onClose={close}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        <Field
          label="Name"
          name="name"
          required
          autoComplete="off"
          placeholder="support-bot-prod"
          pattern="[a-z0-9][a-z0-9\-]*"
          maxLength={64}
          title="Lower-case letters, digits and hyphens"
          hint="Lower-case letters, digits and hyphens. It stays taken, also after the account is revoked."
          error={fieldError(change.problem, "/name")}
        />
        <Field
          label="Description"
          name="description"
          autoComplete="off"
          placeholder="Owner: Support Platform"
          hint="Name the owning team."
          error={fieldError(change.problem, "/description")}
        />
        <Field label="Owner" name="owner" autoComplete="organization" error={fieldError(change.problem, "/owner")} />
        <RoleChoices
          ws={ws}
          roles={all.data ?? []}
          value={role}
          onChange={setRole}
          forPeople={false}
          error={fieldError(change.problem, "/role")}
        />
        <div className="row" data-end>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
