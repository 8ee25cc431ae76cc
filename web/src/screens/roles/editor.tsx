import { Fragment } from "react";
import { isAdministration } from "../../api/permissions";
import type { PermissionType } from "../../api/queries";
import { TriBox } from "../../ui/field";
import { administration, rowsOf, title } from "../../ui/matrix";

const basic = ["read", "write", "delete", "execute"];

interface EditorProps {
  types: PermissionType[];
  value: string[];
  onChange: (value: string[]) => void;
  readOnly?: boolean;
}

/** Line is a row of the editor: a type, and what can be done with it. */
interface Line {
  type: string;
  label: string;
  actions: string[];
  wide?: boolean;
}

/** put adds a permission to a set or takes it out, and leaves the rest as it is. */
export function put(value: string[], permission: string, on: boolean): string[] {
  const rest = value.filter((p) => p !== permission);
  return on ? [...rest, permission] : rest;
}

/** PermissionEditor sets what a role allows: types across actions, Postern's own
    administration apart from them. */
export function PermissionEditor({ types, value, onChange, readOnly }: EditorProps) {
  const product = rowsOf(types, value).map((t) => ({
    type: t.type,
    label: t.title || title(t.type),
    actions: [...basic, ...t.actions],
  }));
  const extra = [...new Set(types.flatMap((t) => t.actions))].filter((a) => !basic.includes(a));
  const own = administration.map((t) => ({ type: t.type, label: title(t.type), actions: t.actions }));
  const shared = { value, onChange, readOnly: readOnly ?? false };
  return (
    <div className="stack">
      <Grid
        {...shared}
        label="Product"
        columns={[...basic, ...extra]}
        lines={[
          { type: "*", label: "Every type, also future ones", actions: [...basic, ...extra], wide: true },
          ...product,
        ]}
      />
      <Grid
        {...shared}
        label="Workspace administration"
        columns={["read", "write", "verify", "export"]}
        lines={[
          {
            type: "iam.*",
            label: "All of the administration",
            actions: ["read", "write", "verify", "export"],
            wide: true,
          },
          ...own,
        ]}
      />
    </div>
  );
}

interface GridProps {
  label: string;
  columns: string[];
  lines: Line[];
  value: string[];
  onChange: (value: string[]) => void;
  readOnly: boolean;
}

function Grid({ label, columns, lines, value, onChange, readOnly }: GridProps) {
  const set = (permissions: string[], on: boolean) => onChange(permissions.reduce((v, p) => put(v, p, on), value));
  const narrow = lines.filter((l) => !l.wide);
  return (
    <section className="matrix-wrap" tabIndex={0} aria-label={label}>
      <h3>{label}</h3>
      <table data-matrix>
        <thead>
          <tr>
            <th scope="col">Type</th>
            <th scope="col">All</th>
            {columns.map((a) => (
              <th key={a} scope="col">
                <TriBox
                  label={`${title(a)} on every row`}
                  of={narrow.filter((l) => l.actions.includes(a)).map((l) => has(value, l.type, a))}
                  disabled={readOnly}
                  onChange={(on) =>
                    set(
                      narrow.filter((l) => l.actions.includes(a)).map((l) => `${l.type}:${a}`),
                      on,
                    )
                  }
                >
                  {title(a)}
                </TriBox>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map((l) => (
            <tr key={l.type} data-wide={l.wide || undefined}>
              <th scope="row">{l.label}</th>
              <td>
                <TriBox
                  label={`Everything on ${l.label}`}
                  of={l.actions.map((a) => has(value, l.type, a))}
                  disabled={readOnly}
                  onChange={(on) => set(whole(l, on, value), on)}
                />
              </td>
              {columns.map((a) => (
                <Fragment key={a}>
                  <td>
                    {l.actions.includes(a) && (
                      <TriBox
                        label={`${title(a)} on ${l.label}`}
                        of={[has(value, l.type, a)]}
                        disabled={readOnly || value.includes(`${l.type}:*`)}
                        onChange={(on) => set([`${l.type}:${a}`], on)}
                      />
                    )}
                  </td>
                </Fragment>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function has(value: string[], type: string, action: string): boolean {
  return value.includes(`${type}:${action}`) || value.includes(`${type}:*`);
}

/** whole are the permissions that a row turns on, or all that it may have on. */
function whole(line: Line, on: boolean, value: string[]): string[] {
  const each = line.actions.map((a) => `${line.type}:${a}`);
  const everything = `${line.type}:*`;
  return on && !value.includes(everything) ? each : [...each, everything];
}

/** others are the permissions that the editor has no box for, such as those on one id. */
export function others(value: string[], types: PermissionType[]): string[] {
  const known = new Set([
    ...rowsOf(types, value).map((t) => t.type),
    "*",
    "iam.*",
    ...administration.map((t) => t.type),
  ]);
  return value.filter((p) => {
    const type = p.split(":")[0] ?? "";
    return !known.has(type) || (isAdministration(type) && !known.has(type)) || type.includes("/");
  });
}
