import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { updateMember, useChange } from "../../api/changes";
import { type Member, member, roles } from "../../api/queries";
import { useToast } from "../../ui/toast";
import { RoleDialog } from "../roles/choose";

/** ChangeMemberRole is the dialog that gives a person another role. */
export function ChangeMemberRole() {
  const { ws, member: id } = useParams({ from: "/w/$ws/settings/members/$member/role" });
  const navigate = useNavigate();
  const found = useQuery(member(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/members", params: { ws } });
  return found.data ? <Change ws={ws} of={found.data} onClose={close} /> : null;
}

function Change({ ws, of: m, onClose }: { ws: string; of: Member; onClose: () => void }) {
  const all = useQuery(roles(ws));
  const toast = useToast();
  const name = m.name || m.email;
  const back = useChange(ws, updateMember(ws, m.id), () => toast(`${name} has the role ${m.role.name} again.`));
  const change = useChange(ws, updateMember(ws, m.id), (now) => {
    toast(`${name} has the role ${now.role.name}.`, () => back.send({ role: m.role.name }));
    onClose();
  });
  return (
    <RoleDialog
      ws={ws}
      title={`Change the role of ${name}`}
      roles={all.data ?? []}
      current={m.role.name}
      forPeople
      problem={change.problem}
      busy={change.busy}
      onChoose={(role) => change.send({ role })}
      onClose={onClose}
    />
  );
}
