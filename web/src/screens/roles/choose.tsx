import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { fieldError, type Problem } from "../../api/problem";
import { permissionTypes, type Role } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Choices } from "../../ui/field";
import { Matrix } from "../../ui/matrix";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";

/** offered are the built-in roles in the order in which they are offered: least
    privilege first. */
const offered = ["operator", "viewer", "editor", "verifier", "admin", "owner"];

const words: Record<string, { title: string; text: string }> = {
  operator: {
    title: "Operator – execute and read",
    text: "Recommended: most service accounts need execute and read only.",
  },
  viewer: { title: "Viewer – read", text: "Reads everything in the product, changes nothing." },
  editor: { title: "Editor", text: "Everything in the product, no settings." },
  verifier: { title: "Verifier", text: "Checks keys for a service; nothing else." },
  admin: { title: "Admin", text: "Everything in the product, and all of its settings." },
  owner: { title: "Owner", text: "All that an Admin may do, and makes other owners." },
};

/** ordered are the roles that are offered, in the order in which they are. The Owner
    role is for people only. */
export function ordered(all: Role[], forPeople: boolean): Role[] {
  const place = (r: Role) => (r.kind === "custom" ? offered.length : offered.indexOf(r.name));
  return all
    .filter((r) => place(r) >= 0 && (forPeople || r.name !== "owner"))
    .sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
}

/** titleOf is what people call a role. */
export function titleOf(name: string, all: Role[] | undefined): string {
  return all?.find((r) => r.name === name)?.title || name;
}

interface RoleChoicesProps {
  ws: string;
  roles: Role[];
  value: string;
  onChange: (role: string) => void;
  forPeople: boolean;
  error: string | undefined;
}

/** RoleChoices are cards of roles; the chosen one unfolds what it allows. */
export function RoleChoices({ ws, roles, value, onChange, forPeople, error }: RoleChoicesProps) {
  const types = useQuery(permissionTypes(ws));
  return (
    <Choices
      label="Role"
      required
      value={value}
      onChange={onChange}
      error={error}
      choices={ordered(roles, forPeople).map((r) => ({
        value: r.name,
        title: (!forPeople && words[r.name]?.title) || r.title || r.name,
        text:
          forPeople && r.name === "operator"
            ? "Executes and reads everything in the product."
            : (words[r.name]?.text ?? r.description),
        more: (
          <>
            {r.name === "admin" && !forPeople && (
              <Note tone="warn">
                Avoid Admin-level service accounts unless the workload genuinely requires settings changes.
              </Note>
            )}
            <Matrix grants={r.permissions} types={types.data ?? []} />
          </>
        ),
      }))}
    />
  );
}

interface RoleDialogProps {
  ws: string;
  title: string;
  roles: Role[];
  current: string;
  forPeople: boolean;
  problem: Problem | undefined;
  busy: boolean;
  onChoose: (role: string) => void;
  onClose: () => void;
}

/** RoleDialog lets somebody be given another role. */
export function RoleDialog({
  ws,
  title,
  roles,
  current,
  forPeople,
  problem,
  busy,
  onChoose,
  onClose,
}: RoleDialogProps) {
  const [role, setRole] = useState(current);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    onChoose(role);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={problem} />
        <RoleChoices
          ws={ws}
          roles={roles}
          value={role}
          onChange={setRole}
          forPeople={forPeople}
          error={fieldError(problem, "/role")}
        />
        <div className="row" data-end>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} reason={role === current ? "It has this role." : undefined}>
            Change role
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
