import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useRef } from "react";
import { removeMember, useChange } from "../../api/changes";
import { rowsOf } from "../../api/lists";
import { auditEvents, type Member, member } from "../../api/queries";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Summary } from "../../ui/summary";
import { Ending } from "../keys/ending";

/** RemoveMember is the dialog that removes a person from the workspace. */
export function RemoveMember() {
  const { ws, member: id } = useParams({ from: "/w/$ws/settings/members/$member/remove" });
  const navigate = useNavigate();
  const found = useQuery(member(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/members", params: { ws } });
  return found.data ? <Remove ws={ws} of={found.data} onClose={close} /> : null;
}

function Remove({ ws, of: m, onClose }: { ws: string; of: Member; onClose: () => void }) {
  const cancel = useRef<HTMLButtonElement>(null);
  const change = useChange(ws, removeMember(ws, m.id));
  const made = useInfiniteQuery(auditEvents(ws, { actor: m.id, action: "service_account.created" }));
  const receipt = change.done?.receipt ?? change.problem?.receipt;
  const name = m.name || m.email;
  if (receipt) {
    return <Ending ws={ws} receipt={receipt} title={`Remove ${name}`} did="Removed" onClose={onClose} />;
  }
  const accounts = rowsOf(made.data).length;
  return (
    <Confirm title={`Remove ${name}?`} onCancel={onClose} focus={cancel}>
      <p>{name} can no longer sign in to this workspace, from this moment.</p>
      <Note tone="warn">
        <ul>
          <li>
            {m.keys.active === 0
              ? "They have no API keys that work."
              : `Their ${many(m.keys.active, "API key")} ${m.keys.active === 1 ? "stops" : "stop"} working instantly.`}
          </li>
          <li>
            <strong>
              {accounts === 0
                ? "Service accounts they created keep working."
                : `${many(accounts, "service account")}${made.hasNextPage ? " and more" : ""} ${name} created ${accounts === 1 ? "keeps" : "keep"} working.`}
            </strong>
          </li>
        </ul>
      </Note>
      <Summary problem={change.problem} />
      <div className="row" data-end>
        <Button ref={cancel} onClick={onClose}>
          Cancel
        </Button>
        <Button kind="danger" busy={change.busy} onClick={() => change.send(undefined)}>
          Remove
        </Button>
      </div>
    </Confirm>
  );
}
