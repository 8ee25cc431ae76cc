import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { problemOf } from "../../api/problem";
import { key } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Drawer } from "../../ui/dialog";
import { Failure, Waiting } from "../../ui/states";
import { useNow } from "../../ui/time";
import { KeyDetails } from "./details";

/** APIKeyDrawer is the drawer with one personal key. */
export function APIKeyDrawer() {
  const { ws, key: id } = useParams({ from: "/w/$ws/settings/api-keys/$key" });
  const search = useSearch({ from: "/w/$ws/settings/api-keys" });
  const navigate = useNavigate();
  const now = useNow();
  const found = useQuery(key(ws, id));
  return (
    <Drawer
      title={found.data?.name ?? "API key"}
      badge={found.data && <StateBadge of={found.data} now={now} />}
      onClose={() => navigate({ to: "/w/$ws/settings/api-keys", params: { ws }, search, resetScroll: false })}
    >
      {found.isPending && <Waiting />}
      {found.error && !found.data ? <Failure problem={problemOf(found.error)} /> : null}
      {found.data && <KeyDetails ws={ws} of={found.data} />}
    </Drawer>
  );
}
