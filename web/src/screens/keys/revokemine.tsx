import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { key } from "../../api/queries";
import { RevokeKey } from "./revoke";

/** RevokeAPIKey is the dialog that ends a personal key. */
export function RevokeAPIKey() {
  const { ws, key: id } = useParams({ from: "/w/$ws/settings/api-keys/$key/revoke" });
  const search = useSearch({ from: "/w/$ws/settings/api-keys" });
  const navigate = useNavigate();
  const found = useQuery(key(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/api-keys", params: { ws }, search, resetScroll: false });
  return found.data ? <RevokeKey ws={ws} of={found.data} onClose={close} /> : null;
}
