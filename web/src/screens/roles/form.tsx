import { type FormEvent, type ReactNode, useState } from "react";
import { fieldError, type Problem } from "../../api/problem";
import type { PermissionType } from "../../api/queries";
import { Button } from "../../ui/button";
import { Field, TextArea } from "../../ui/field";
import { Panel, Section } from "../../ui/page";
import { Segments } from "../../ui/segments";
import { Summary } from "../../ui/summary";
import { PermissionEditor } from "./editor";

export interface RoleFields {
  name: string;
  title: string;
  description: string;
  permissions: string[];
}

interface RoleFormProps {
  first: RoleFields;
  types: PermissionType[];
  problem: Problem | undefined;
  busy: boolean;
  save: string;
  reason: string | undefined;
  readOnly?: boolean;
  onSubmit: (role: RoleFields) => void;
  /** Shown above the button, of the permissions as they would be. */
  about?: (permissions: string[]) => ReactNode;
  actions?: ReactNode;
}

const views = [
  { value: "matrix", label: "Matrix" },
  { value: "json", label: "JSON" },
] as const;

/** RoleForm is what a role is called and what it allows. */
export function RoleForm({
  first,
  types,
  problem,
  busy,
  save,
  reason,
  readOnly,
  onSubmit,
  about,
  actions,
}: RoleFormProps) {
  const [permissions, setPermissions] = useState(first.permissions);
  const [view, setView] = useState<"matrix" | "json">("matrix");
  const [json, setJSON] = useState("");
  const [wrong, setWrong] = useState<string>();
  const show = (next: "matrix" | "json") => {
    if (next === "json") setJSON(JSON.stringify(permissions, null, 2));
    setView(next);
  };
  const read = (text: string) => {
    setJSON(text);
    const list = parse(text);
    setWrong(list ? undefined : "This is not a JSON list of texts.");
    if (list) setPermissions(list);
  };
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    onSubmit({ name: text("name"), title: text("title"), description: text("description"), permissions });
  };
  return (
    <form onSubmit={submit} className="stack">
      <Summary problem={problem} />
      <Section title="Details">
        <Panel>
          <div className="stack narrow">
            <Field
              label="Title"
              name="title"
              defaultValue={first.title}
              readOnly={readOnly ?? false}
              placeholder="Ticket bot"
              error={fieldError(problem, "/title")}
            />
            <Field
              label="Name"
              name="name"
              required
              readOnly={readOnly ?? false}
              defaultValue={first.name}
              placeholder="ticket-bot"
              hint="As the API and the commands call it."
              error={fieldError(problem, "/name")}
            />
            <Field
              label="Description"
              name="description"
              readOnly={readOnly ?? false}
              defaultValue={first.description}
              error={fieldError(problem, "/description")}
            />
          </div>
        </Panel>
      </Section>
      <Section title="Permissions" actions={<Segments label="View" options={views} value={view} onChange={show} />}>
        <Panel>
          {view === "matrix" ? (
            <PermissionEditor
              types={types}
              value={permissions}
              onChange={setPermissions}
              readOnly={readOnly ?? false}
            />
          ) : (
            <TextArea
              label="Permissions"
              name="json"
              rows={Math.min(20, permissions.length + 4)}
              spellCheck={false}
              readOnly={readOnly ?? false}
              value={json}
              onChange={(e) => read(e.target.value)}
              error={wrong}
            />
          )}
        </Panel>
      </Section>
      {about?.(permissions)}
      {!readOnly && (
        <div className="row">
          <Button kind="primary" type="submit" busy={busy} reason={reason ?? wrong}>
            {save}
          </Button>
          {actions}
        </div>
      )}
    </form>
  );
}

/** parse reads a JSON list of texts; undefined: it is none. */
export function parse(text: string): string[] | undefined {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((p) => typeof p === "string") ? list : undefined;
  } catch {
    return undefined;
  }
}
