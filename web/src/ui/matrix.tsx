import { Check, Minus } from "lucide-react";
import { allows, isAdministration } from "../api/permissions";
import type { PermissionType } from "../api/queries";

const basic = ["read", "write", "delete", "execute"] as const;

/** title writes a name as words: "iam.service_accounts" as "Service accounts". */
export function title(name: string): string {
  const words = name.replace(/^iam\./, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** administration are Postern's own types and what can be done with them. */
export const administration: PermissionType[] = [
  { type: "iam.service_accounts", actions: ["read", "write"] },
  { type: "iam.keys", actions: ["read", "write", "verify"] },
  { type: "iam.members", actions: ["read", "write"] },
  { type: "iam.roles", actions: ["read", "write"] },
  { type: "iam.audit", actions: ["read", "export"] },
  { type: "iam.settings", actions: ["read", "write"] },
  { type: "iam.webhooks", actions: ["read", "write"] },
  { type: "iam.nodes", actions: ["read", "write"] },
];

/** rowsOf are the types that a matrix shows: those that are registered, and those
    that the grants name besides. */
export function rowsOf(types: PermissionType[], grants: readonly string[]): PermissionType[] {
  const known = new Set(types.map((t) => t.type));
  const named = grants
    .map((g) => g.split(":")[0] ?? "")
    .filter((t) => t !== "*" && !isAdministration(t) && !known.has(t));
  return [...types, ...[...new Set(named)].map((type) => ({ type, actions: [] }))];
}

/** Matrix shows what a set of permissions allows, in words. */
export function Matrix({ grants, types }: { grants: readonly string[]; types: PermissionType[] }) {
  const product = rowsOf(types, grants);
  const extra = [...new Set(product.flatMap((t) => t.actions))].filter(
    (a) => !(basic as readonly string[]).includes(a),
  );
  const everything = grants.some((g) => g.startsWith("*:"));
  const own = administration.filter((t) => t.actions.some((a) => allows(grants, `${t.type}:${a}`)));
  return (
    <section className="matrix-wrap" tabIndex={0} aria-label="What is allowed">
      <table data-matrix>
        <thead>
          <tr>
            <th scope="col">Type</th>
            {[...basic, ...extra].map((a) => (
              <th key={a} scope="col">
                {title(a)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {everything && <MatrixRow label="Every type" type="*" actions={[...basic, ...extra]} grants={grants} />}
          {product.map((t) => (
            <MatrixRow
              key={t.type}
              label={t.title || title(t.type)}
              type={t.type}
              actions={[...basic, ...extra]}
              has={[...basic, ...t.actions]}
              grants={grants}
            />
          ))}
        </tbody>
      </table>
      {own.length > 0 && (
        <p className="small">
          <strong>Workspace administration:</strong>{" "}
          {own
            .map((t) => `${title(t.type)} (${t.actions.filter((a) => allows(grants, `${t.type}:${a}`)).join(", ")})`)
            .join(" · ")}
        </p>
      )}
    </section>
  );
}

interface RowProps {
  label: string;
  type: string;
  actions: readonly string[];
  /** The actions that there are for the type; all if nothing is said. */
  has?: readonly string[];
  grants: readonly string[];
}

function MatrixRow({ label, type, actions, has, grants }: RowProps) {
  return (
    <tr>
      <th scope="row">{label}</th>
      {actions.map((a) => (
        <td key={a}>{has && !has.includes(a) ? "" : <Mark yes={granted(grants, type, a)} />}</td>
      ))}
    </tr>
  );
}

function granted(grants: readonly string[], type: string, action: string): boolean {
  if (type === "*") return grants.includes(`*:${action}`) || grants.includes("*:*");
  return allows(grants, `${type}:${action}`);
}

function Mark({ yes }: { yes: boolean }) {
  return yes ? (
    <Check role="img" aria-label="Allowed" className="yes" />
  ) : (
    <Minus role="img" aria-label="Not allowed" className="no" />
  );
}
