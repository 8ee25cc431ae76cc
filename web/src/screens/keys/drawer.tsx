import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import { type Key, key, whoami } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Drawer } from "../../ui/dialog";
import { Failure, Waiting } from "../../ui/states";
import { useNow } from "../../ui/time";
import { KeyDetails } from "./details";
import { useTurnKey } from "./turn";

const from = "/w/$ws/settings/api-keys";

/** APIKeyDrawer is the drawer with one personal key. */
export function APIKeyDrawer() {
  const { ws, key: id } = useParams({ from: `${from}/$key` });
  const search = useSearch({ from });
  const navigate = useNavigate();
  const now = useNow();
  const found = useQuery(key(ws, id));
  return (
    <Drawer
      title={found.data?.name ?? "API key"}
      badge={found.data && <StateBadge of={found.data} now={now} />}
      onClose={() => navigate({ to: from, params: { ws }, search, resetScroll: false })}
    >
      {found.isPending && <Waiting />}
      {found.error && !found.data ? <Failure problem={problemOf(found.error)} /> : null}
      {found.data && (
        <>
          {found.data.state !== "revoked" && <Actions ws={ws} of={found.data} />}
          <KeyDetails ws={ws} of={found.data} />
        </>
      )}
    </Drawer>
  );
}

function Actions({ ws, of: k }: { ws: string; of: Key }) {
  const navigate = useNavigate();
  const search = useSearch({ from });
  const may = useMay();
  const turn = useTurnKey(ws, k);
  const mine = useQuery(whoami).data?.principal.id === k.principal.id;
  const change = mine ? undefined : may("iam.keys:write");
  return (
    <div className="row">
      <Button
        reason={may("iam.service_accounts:write")}
        onClick={() => navigate({ to: "/w/$ws/settings/service-accounts/new", params: { ws }, search: { move: k.id } })}
      >
        Move to a service account
      </Button>
      <Button reason={change} onClick={turn}>
        {k.state === "paused" ? "Resume" : "Pause"}
      </Button>
      <Button
        reason={change}
        onClick={() => navigate({ to: `${from}/$key/revoke`, params: { ws, key: k.id }, search, resetScroll: false })}
      >
        Revoke
      </Button>
    </div>
  );
}
