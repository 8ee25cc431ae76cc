import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import type { Key } from "../../api/queries";
import { key } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Drawer } from "../../ui/dialog";
import { Failure, Waiting } from "../../ui/states";
import { useNow } from "../../ui/time";
import { KeyDetails } from "../keys/details";
import { useTurnKey } from "../keys/turn";

const from = "/w/$ws/settings/service-accounts/$sa/keys/$key";

/** AccountKey is the drawer with one key of an account. */
export function AccountKey() {
  const params = useParams({ strict: false }) as { ws: string; sa: string; key: string };
  const { ws, sa } = params;
  const navigate = useNavigate();
  const now = useNow();
  const found = useQuery(key(ws, params.key));
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return (
    <Drawer
      title={found.data?.name ?? "Key"}
      badge={found.data && <StateBadge of={found.data} now={now} />}
      onClose={close}
    >
      {found.error && !found.data ? <Failure problem={problemOf(found.error)} /> : null}
      {found.isPending && <Waiting />}
      {found.data && (
        <>
          {found.data.state !== "revoked" && <Actions ws={ws} sa={sa} of={found.data} />}
          <KeyDetails ws={ws} of={found.data} />
        </>
      )}
    </Drawer>
  );
}

function Actions({ ws, sa, of: k }: { ws: string; sa: string; of: Key }) {
  const navigate = useNavigate();
  const may = useMay()("iam.keys:write");
  const turn = useTurnKey(ws, k);
  const params = { ws, sa, key: k.id };
  return (
    <div className="row">
      {k.rotation ? (
        <Button
          onClick={() =>
            navigate({
              to: "/w/$ws/settings/service-accounts/$sa/rotations/$rot",
              params: { ws, sa, rot: k.rotation ?? "" },
            })
          }
        >
          See the rotation
        </Button>
      ) : (
        <Button
          reason={may ?? (k.state === "active" ? undefined : "Only a key that works can be rotated.")}
          onClick={() => navigate({ to: `${from}/rotate`, params, resetScroll: false })}
        >
          Rotate
        </Button>
      )}
      <Button reason={may} onClick={turn}>
        {k.state === "paused" ? "Resume" : "Pause"}
      </Button>
      <Button reason={may} onClick={() => navigate({ to: `${from}/edit`, params, resetScroll: false })}>
        Edit
      </Button>
      <Button reason={may} onClick={() => navigate({ to: `${from}/revoke`, params, resetScroll: false })}>
        Revoke
      </Button>
    </div>
  );
}
