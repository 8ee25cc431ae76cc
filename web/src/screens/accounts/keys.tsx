import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { rowsOf } from "../../api/lists";
import { useMay } from "../../api/me";
import { accountKeys, type Key, type ServiceAccount } from "../../api/queries";
import { Button } from "../../ui/button";
import { List } from "../../ui/list";
import { Menu, MenuItem, MenuLine } from "../../ui/menu";
import { many } from "../../ui/numbers";
import { Empty, Waiting } from "../../ui/states";
import { useKeyColumns } from "../keys/columns";
import { useTurnKey } from "../keys/turn";
import { useAccount } from "./account";

/** AccountKeys is the list of an account's keys. */
export function AccountKeys() {
  const { ws, sa, of } = useAccount();
  const [ended, setEnded] = useState(false);
  const list = useInfiniteQuery(accountKeys(ws, sa));
  const all = rowsOf(list.data);
  const gone = all.filter((k) => k.state === "revoked").length;
  const shown = ended || of?.state === "inactive" ? all : all.filter((k) => k.state !== "revoked");
  const columns = useKeyColumns(ws, shown, {
    link: (k) => (
      <Link
        className="row-link"
        to="/w/$ws/settings/service-accounts/$sa/keys/$key"
        params={{ ws, sa, key: k.id }}
        resetScroll={false}
      >
        {k.name}
      </Link>
    ),
  });
  if (!of) return <Waiting />;
  const actions = { name: "Actions", kind: "actions" as const, cell: (k: Key) => <KeyActions ws={ws} of={of} k={k} /> };
  return (
    <>
      <List
        label={`Keys of ${of.name}`}
        query={list}
        rows={shown}
        columns={[...columns, actions]}
        faded={(k) => k.state === "revoked" || k.state === "expired"}
        empty={<NoKeys ws={ws} of={of} ended={gone} />}
      />
      {gone > 0 && of.state !== "inactive" && (
        <Button kind="plain" onClick={() => setEnded(!ended)}>
          {ended ? "Hide revoked keys" : `Show ${many(gone, "revoked key")}`}
        </Button>
      )}
      <Outlet />
    </>
  );
}

function NoKeys({ ws, of, ended }: { ws: string; of: ServiceAccount; ended: number }) {
  const navigate = useNavigate();
  const may = useMay();
  return (
    <Empty
      icon={<KeyRound aria-hidden />}
      title={ended > 0 ? "No keys that work" : "No keys yet"}
      {...(of.state === "active" && {
        action: (
          <Button
            reason={may("iam.keys:write")}
            onClick={() =>
              navigate({ to: "/w/$ws/settings/service-accounts/$sa/keys/new", params: { ws, sa: of.name } })
            }
          >
            <Plus aria-hidden /> Make the first key
          </Button>
        ),
        command: `postern key create ${of.name}`,
      })}
    >
      An account can own several keys, so that one can be rotated without downtime.
    </Empty>
  );
}

/** KeyActions is what can be done with a key of an account. */
function KeyActions({ ws, of, k }: { ws: string; of: ServiceAccount; k: Key }) {
  const navigate = useNavigate();
  const may = useMay();
  const turn = useTurnKey(ws, k);
  const params = { ws, sa: of.name, key: k.id };
  const at = "/w/$ws/settings/service-accounts/$sa/keys/$key" as const;
  const change = may("iam.keys:write");
  const ended = k.state === "revoked";
  if (of.state === "inactive") return null;
  return (
    <Menu label={`Actions for ${k.name}`}>
      <MenuItem onSelect={() => navigate({ to: at, params, resetScroll: false })}>Details</MenuItem>
      {!ended && (
        <>
          {k.rotation ? (
            <MenuItem
              onSelect={() =>
                navigate({
                  to: "/w/$ws/settings/service-accounts/$sa/rotations/$rot",
                  params: { ...params, rot: k.rotation ?? "" },
                })
              }
            >
              See the rotation
            </MenuItem>
          ) : (
            <MenuItem
              reason={change ?? (k.state === "active" ? undefined : "Only a key that works can be rotated.")}
              onSelect={() => navigate({ to: `${at}/rotate`, params, resetScroll: false })}
            >
              Rotate
            </MenuItem>
          )}
          <MenuItem reason={change} onSelect={turn}>
            {k.state === "paused" ? "Resume" : "Pause"}
          </MenuItem>
          <MenuItem reason={change} onSelect={() => navigate({ to: `${at}/edit`, params, resetScroll: false })}>
            Extend expiry
          </MenuItem>
          <MenuLine />
          <MenuItem
            kind="danger"
            reason={change}
            onSelect={() => navigate({ to: `${at}/revoke`, params, resetScroll: false })}
          >
            Revoke
          </MenuItem>
        </>
      )}
    </Menu>
  );
}
