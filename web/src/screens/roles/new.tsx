import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { createRole, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import { permissionTypes } from "../../api/queries";
import { Head } from "../../ui/page";
import { Waiting } from "../../ui/states";
import { useToast } from "../../ui/toast";
import { RoleForm } from "./form";

/** NewRole is the page that makes a role. The address may bring what it is to allow. */
export function NewRole() {
  const { ws } = useParams({ from: "/w/$ws/settings/roles/new" });
  const search = useSearch({ from: "/w/$ws/settings/roles/new" });
  const navigate = useNavigate();
  const toast = useToast();
  const may = useMay()("iam.roles:write");
  const types = useQuery(permissionTypes(ws));
  const change = useChange(ws, createRole(ws), (made) => {
    toast(`The role ${made.title || made.name} is there.`);
    void navigate({ to: "/w/$ws/settings/roles/$role", params: { ws, role: made.name } });
  });
  return (
    <>
      <Head
        title="New role"
        crumbs={
          <Link to="/w/$ws/settings/roles" params={{ ws }}>
            Roles
          </Link>
        }
      />
      {types.isPending ? (
        <Waiting />
      ) : (
        <RoleForm
          first={{
            name: search.name ?? "",
            title: "",
            description: "",
            permissions: search.from?.split(" ") ?? ["*:read"],
          }}
          types={types.data ?? []}
          problem={change.problem}
          busy={change.busy}
          save="Create role"
          reason={may}
          onSubmit={(role) => change.send(role)}
        />
      )}
    </>
  );
}
