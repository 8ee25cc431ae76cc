import { useNavigate } from "@tanstack/react-router";
import { turnAccount, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import type { ServiceAccount } from "../../api/queries";
import { Menu, MenuItem, MenuLine } from "../../ui/menu";
import { useToast } from "../../ui/toast";

interface ActionsProps {
  ws: string;
  account: ServiceAccount;
  /** On its own page, the menu has the name that the product page gives it. */
  page?: boolean;
}

/** AccountActions is what can be done with a service account. */
export function AccountActions({ ws, account: a, page }: ActionsProps) {
  const navigate = useNavigate();
  const may = useMay();
  const turn = useTurn(ws, a);
  const params = { ws, sa: a.name };
  const at = "/w/$ws/settings/service-accounts/$sa" as const;
  if (a.state === "inactive") return null;
  const change = may("iam.service_accounts:write");
  return (
    <Menu label={page ? "Service account menu" : `Actions for ${a.name}`}>
      {!page && (
        <MenuItem
          reason={a.state === "paused" ? "It is paused." : may("iam.keys:write")}
          onSelect={() => navigate({ to: `${at}/keys/new`, params })}
        >
          New key
        </MenuItem>
      )}
      {page && (
        <MenuItem reason={change} onSelect={() => navigate({ to: `${at}/settings`, params })}>
          Edit details
        </MenuItem>
      )}
      <MenuItem reason={change} onSelect={() => navigate({ to: `${at}/role`, params })}>
        Change role
      </MenuItem>
      <MenuItem reason={change} onSelect={turn}>
        {a.state === "paused" ? "Resume" : "Pause"}
      </MenuItem>
      <MenuLine />
      <MenuItem kind="danger" reason={change} onSelect={() => navigate({ to: `${at}/revoke`, params })}>
        Revoke
      </MenuItem>
    </Menu>
  );
}

/** useTurn returns what pauses an account that is active, or resumes one that is
    paused. */
export function useTurn(ws: string, a: ServiceAccount): () => void {
  const toast = useToast();
  const resume = a.state === "paused";
  const change = useChange(
    ws,
    (body: { reason?: string }, headers) =>
      turnAccount(
        ws,
        a.id,
        resume ? "resume" : "pause",
      )(body, headers).catch((error) => {
        toast(`${a.name} could not be ${resume ? "resumed" : "paused"}: ${error.message}`);
        throw error;
      }),
    () => toast(resume ? `${a.name} is resumed.` : `${a.name} is paused: every key it owns is refused.`),
  );
  return () => change.send({});
}
