import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ChevronsUpDown, DoorOpen } from "lucide-react";
import { useAct } from "../api/act";
import { useAllowed } from "../api/me";
import { whoami, workspace } from "../api/queries";
import { currentSession, moveTo } from "../api/sessions";
import { Menu, MenuChoice, MenuTitle } from "../ui/menu";

/** WorkspaceName is the workspace that a page is in. Who is in several goes to another
    from here. */
export function WorkspaceName({ ws }: { ws: string }) {
  const here = useQuery({ ...workspace(ws), enabled: useAllowed()("iam.settings:read") });
  const me = useQuery(whoami);
  const session = useQuery({ ...currentSession, enabled: Boolean(me.data?.session) });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const move = useAct(moveTo, (now) => {
    const to = now.workspaces.find((w) => w.workspace.id === now.workspace);
    queries.clear();
    void navigate({ to: "/w/$ws", params: { ws: to?.workspace.slug ?? "-" } });
  });
  const all = session.data?.workspaces ?? [];
  const name = (
    <>
      <DoorOpen aria-hidden />
      <strong>{here.data?.name ?? all.find((w) => w.workspace.slug === ws)?.workspace.name ?? ws}</strong>
    </>
  );
  if (all.length < 2) return <span className="workspace">{name}</span>;
  return (
    <Menu
      label="Workspace"
      trigger={
        <button type="button" className="workspace nav-link account-button">
          {name}
          <ChevronsUpDown aria-hidden />
        </button>
      }
    >
      <MenuTitle>Go to a workspace</MenuTitle>
      <MenuChoice
        options={all.map((w) => ({ value: w.workspace.slug, label: w.workspace.name }))}
        value={ws}
        onChange={(to) => move.send(to)}
      />
    </Menu>
  );
}
