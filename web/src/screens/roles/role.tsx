import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { deleteRole, updateRole, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import { type PermissionType, permissionTypes, type Role, role } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Head } from "../../ui/page";
import { Failure, Waiting } from "../../ui/states";
import { useToast } from "../../ui/toast";
import { RoleForm } from "./form";
import { Impact } from "./impact";

/** RolePage is one role: what it allows, and who has it. */
export function RolePage() {
  const { ws, role: id } = useParams({ from: "/w/$ws/settings/roles/$role" });
  const found = useQuery({ ...role(ws, id), staleTime: Number.POSITIVE_INFINITY });
  const types = useQuery(permissionTypes(ws));
  if (found.error && !found.data) {
    return (
      <div className="table-wrap">
        <Failure problem={problemOf(found.error)} onRetry={() => void found.refetch()} />
      </div>
    );
  }
  if (!found.data || !types.data) return <Waiting />;
  return <Editor key={found.data.id} ws={ws} of={found.data} types={types.data} refresh={() => void found.refetch()} />;
}

interface EditorProps {
  ws: string;
  of: Role;
  types: PermissionType[];
  refresh: () => void;
}

function Editor({ ws, of: r, types, refresh }: EditorProps) {
  const toast = useToast();
  const navigate = useNavigate();
  const may = useMay()("iam.roles:write");
  const [begun] = useState(r); // what the person sees and changes, whatever others do meanwhile
  const [etag, setEtag] = useState(r.etag);
  const builtIn = r.kind === "built_in";
  const fields = (of: Role) => ({
    name: of.name,
    title: of.title,
    description: of.description,
    permissions: of.permissions,
  });
  const back = useChange(ws, updateRole(ws, r.id, undefined), () => {
    toast(`The role ${begun.title || begun.name} is as it was.`);
    refresh();
  });
  const change = useChange(ws, updateRole(ws, r.id, etag), (now) => {
    setEtag(now.etag);
    toast(`The role ${now.title || now.name} is changed.`, () => back.send(fields(begun)));
    if (now.name !== r.name) {
      void navigate({ to: "/w/$ws/settings/roles/$role", params: { ws, role: now.name }, replace: true });
    }
  });
  const conflict = change.problem?.status === 412;
  return (
    <>
      <Head
        title={r.title || r.name}
        badge={<Badge>{builtIn ? "Built-in" : "Custom"}</Badge>}
        crumbs={
          <Link to="/w/$ws/settings/roles" params={{ ws }}>
            Roles
          </Link>
        }
        text={
          <p>
            {many(r.members, "member")} and {many(r.service_accounts, "service account")} have it.
            {builtIn && " Built-in roles cannot be changed."}
          </p>
        }
      />
      {conflict && (
        <Theirs
          mine={begun}
          theirs={r}
          detail={change.problem?.detail}
          onTake={() => setEtag(r.etag)}
          onLook={refresh}
        />
      )}
      <RoleForm
        first={fields(begun)}
        types={types}
        problem={conflict ? undefined : change.problem}
        busy={change.busy}
        save="Save role"
        reason={may}
        readOnly={builtIn}
        onSubmit={(next) => change.send(next)}
        about={(permissions) => <Impact ws={ws} of={r} permissions={permissions} />}
        actions={<Delete ws={ws} of={r} />}
      />
    </>
  );
}

interface TheirsProps {
  mine: Role;
  theirs: Role;
  detail: string | undefined;
  onLook: () => void;
  onTake: () => void;
}

/** Theirs says that somebody else changed the role meanwhile, and how. */
function Theirs({ mine, theirs, detail, onLook, onTake }: TheirsProps) {
  const seen = mine.etag !== theirs.etag;
  const added = theirs.permissions.filter((p) => !mine.permissions.includes(p));
  const gone = mine.permissions.filter((p) => !theirs.permissions.includes(p));
  return (
    <div className="banner" role="alert">
      <Note tone="warn">
        <strong>Somebody else changed this role meanwhile.</strong>
        <p>{detail}</p>
        {seen && added.length > 0 && <p>They added {added.join(", ")}.</p>}
        {seen && gone.length > 0 && <p>They removed {gone.join(", ")}.</p>}
        <div className="row">
          {!seen && <Button onClick={onLook}>Show their change</Button>}
          {seen && <Button onClick={onTake}>Keep mine: save again to replace theirs</Button>}
        </div>
      </Note>
    </div>
  );
}

function Delete({ ws, of: r }: { ws: string; of: Role }) {
  const navigate = useNavigate();
  const toast = useToast();
  const may = useMay()("iam.roles:write");
  const change = useChange(ws, deleteRole(ws, r.id), () => {
    toast(`The role ${r.title || r.name} is deleted.`);
    void navigate({ to: "/w/$ws/settings/roles", params: { ws } });
  });
  const used = r.members + r.service_accounts;
  const inUse =
    used > 0
      ? `It is in use: ${many(r.members, "member")} and ${many(r.service_accounts, "service account")} have it.`
      : undefined;
  return (
    <>
      <span className="grow" />
      {change.problem && <span className="field-error">{change.problem.detail}</span>}
      <Button reason={may ?? inUse} busy={change.busy} onClick={() => change.send(undefined)}>
        Delete
      </Button>
    </>
  );
}
