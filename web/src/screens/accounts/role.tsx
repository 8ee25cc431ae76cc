import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { updateAccount, useChange } from "../../api/changes";
import { roles, type ServiceAccount } from "../../api/queries";
import { useToast } from "../../ui/toast";
import { RoleDialog } from "../roles/choose";
import { useAccount } from "./account";

/** ChangeAccountRole is the dialog that gives an account another role. */
export function ChangeAccountRole() {
  const { ws, sa, of } = useAccount();
  const navigate = useNavigate();
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return of ? <Change ws={ws} of={of} onClose={close} /> : null;
}

function Change({ ws, of: a, onClose }: { ws: string; of: ServiceAccount; onClose: () => void }) {
  const all = useQuery(roles(ws));
  const toast = useToast();
  const back = useChange(ws, updateAccount(ws, a.id), () => toast(`${a.name} has the role ${a.role.name} again.`));
  const change = useChange(ws, updateAccount(ws, a.id), (now) => {
    toast(`${a.name} has the role ${now.role.name}.`, () => back.send({ role: a.role.name }));
    onClose();
  });
  return (
    <RoleDialog
      ws={ws}
      title={`Change the role of ${a.name}`}
      roles={all.data ?? []}
      current={a.role.name}
      forPeople={false}
      problem={change.problem}
      busy={change.busy}
      onChoose={(role) => change.send({ role })}
      onClose={onClose}
    />
  );
}
