import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { createAccount, useChange } from "../../api/changes";
import { fieldError } from "../../api/problem";
import { type Role, roles } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Choices, Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";

/** offered are the built-in roles in the order in which they are offered: least
    privilege first. The Owner role is for people only. */
const offered = ["operator", "viewer", "editor", "verifier", "admin"];

const words: Record<string, { title: string; text: string }> = {
  operator: {
    title: "Operator – execute and read",
    text: "Recommended: most service accounts need execute and read only.",
  },
  viewer: { title: "Viewer – read", text: "Reads everything in the product, changes nothing." },
  editor: { title: "Editor", text: "Everything in the product, no settings." },
  verifier: { title: "Verifier", text: "Checks keys for a service; nothing else." },
  admin: { title: "Admin", text: "Everything in the product, and all of its settings." },
};

function ordered(all: Role[]): Role[] {
  const place = (r: Role) => (r.kind === "custom" ? offered.length : offered.indexOf(r.name));
  return all.filter((r) => place(r) >= 0).sort((a, b) => place(a) - place(b) || a.title.localeCompare(b.title));
}

/** NewAccount is the dialog over the list. It ends on the account's page. */
export function NewAccount() {
  const { ws } = useParams({ from: "/w/$ws/settings/service-accounts/new" });
  const navigate = useNavigate();
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts", params: { ws } });
  const all = useQuery(roles(ws));
  const [role, setRole] = useState("operator");
  const change = useChange(ws, createAccount(ws), (made) =>
    navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa: made.name } }),
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
        <Choices
          label="Role"
          required
          value={role}
          onChange={setRole}
          error={fieldError(change.problem, "/role")}
          choices={ordered(all.data?.data ?? []).map((r) => ({
            value: r.name,
            title: words[r.name]?.title ?? r.title,
            text: words[r.name]?.text ?? r.description,
            more: (
              <>
                {r.name === "admin" && (
                  <Note tone="warn">
                    Avoid Admin-level service accounts unless the workload genuinely requires settings changes.
                  </Note>
                )}
                <code className="small">{r.permissions.join("  ")}</code>
              </>
            ),
          }))}
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
