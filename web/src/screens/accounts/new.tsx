import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { createAccount, useChange } from "../../api/changes";
import { fieldError } from "../../api/problem";
import { type Key, key, type Role, roles } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { RoleChoices } from "../roles/choose";
import { inThePlaceOf, lesserRole, nameFrom } from "./move";
import { NameField } from "./name";

/** NewAccount is the dialog over the list. It ends on the account's page. The address
    may name the key of a person that the account is to take the place of. */
export function NewAccount() {
  const { ws } = useParams({ from: "/w/$ws/settings/service-accounts/new" });
  const { move, ...search } = useSearch({ from: "/w/$ws/settings/service-accounts/new" });
  const navigate = useNavigate();
  const all = useQuery(roles(ws));
  const moved = useQuery({ ...key(ws, move ?? ""), enabled: move !== undefined });
  const close = () =>
    navigate(
      move
        ? { to: "/w/$ws/settings/api-keys", params: { ws }, search: { of: "everyone" } }
        : { to: "/w/$ws/settings/service-accounts", params: { ws }, search },
    );
  if (move && (moved.isPending || all.isPending)) return null;
  return <Create ws={ws} roles={all.data ?? []} moved={moved.data} onClose={close} />;
}

interface CreateProps {
  ws: string;
  roles: Role[];
  moved: Key | undefined;
  onClose: () => void;
}

function Create({ ws, roles: all, moved, onClose }: CreateProps) {
  const navigate = useNavigate();
  const [role, setRole] = useState(() => (moved ? lesserRole(all, moved.effective) : "operator"));
  const change = useChange(ws, createAccount(ws), (made) =>
    navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa: made.name }, hash: "new-key" }),
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    change.send({
      name: text("name"),
      description: text("description"),
      owner: text("owner"),
      role,
      ...(moved && { metadata: inThePlaceOf(moved) }),
    });
  };
  const title = moved ? `Move ${moved.name} to a service account` : "New service account";
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        {moved && (
          <Note>
            The account gets a key of its own. {moved.name}, which acts as {moved.principal.name}, goes on working until
            you revoke it: the account's page says when nobody uses it any more.
          </Note>
        )}
        <NameField ws={ws} first={moved ? nameFrom(moved.name) : ""} error={fieldError(change.problem, "/name")} />
        <Field
          label="Description"
          name="description"
          autoComplete="off"
          placeholder="Owner: Support Platform"
          defaultValue={moved ? `Takes the place of ${moved.name}, a key of ${moved.principal.name}.` : ""}
          hint="Name the owning team."
          error={fieldError(change.problem, "/description")}
        />
        <Field label="Owner" name="owner" autoComplete="organization" error={fieldError(change.problem, "/owner")} />
        <RoleChoices
          ws={ws}
          roles={all}
          value={role}
          onChange={setRole}
          forPeople={false}
          error={fieldError(change.problem, "/role")}
        />
        <div className="row" data-end>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
