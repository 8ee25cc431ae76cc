import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { Plus, Shield } from "lucide-react";
import { useMay } from "../../api/me";
import { type Role, roles } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { type Column, List } from "../../ui/list";
import { Head } from "../../ui/page";
import { Empty } from "../../ui/states";
import { inWords } from "./words";

/** Roles are the roles of the workspace. */
export function Roles() {
  const { ws } = useParams({ from: "/w/$ws/settings/roles" });
  const navigate = useNavigate();
  const may = useMay()("iam.roles:write");
  const all = useQuery(roles(ws));
  const columns: Column<Role>[] = [
    {
      name: "Name",
      kind: "main",
      cell: (r) => (
        <>
          <Link className="row-link" to="/w/$ws/settings/roles/$role" params={{ ws, role: r.name }}>
            {r.title || r.name}
          </Link>
          <p className="dim small">{r.description || "No description"}</p>
        </>
      ),
    },
    { name: "Kind", cell: (r) => <Badge>{r.kind === "built_in" ? "Built-in" : "Custom"}</Badge> },
    { name: "Allows", cell: (r) => inWords(r.permissions) },
    { name: "Members", kind: "number", cell: (r) => r.members },
    { name: "Service accounts", kind: "number", cell: (r) => r.service_accounts },
  ];
  return (
    <>
      <Head
        title="Roles"
        text="A role is a set of permissions. Custom roles give an account exactly what it needs."
        docs="how-to/give-it-a-role"
        actions={
          <Button
            kind="primary"
            reason={may}
            onClick={() => navigate({ to: "/w/$ws/settings/roles/new", params: { ws } })}
          >
            <Plus aria-hidden /> New role
          </Button>
        }
      />
      <List
        label="Roles"
        query={all}
        rows={all.data ?? []}
        columns={columns}
        empty={
          <Empty icon={<Shield aria-hidden />} title="No roles">
            There is always at least the built-in ones.
          </Empty>
        }
      />
    </>
  );
}
