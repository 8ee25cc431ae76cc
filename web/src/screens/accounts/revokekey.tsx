import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { key } from "../../api/queries";
import { RevokeKey } from "../keys/revoke";

/** RevokeAccountKey is the dialog that ends a key of an account. */
export function RevokeAccountKey() {
  const { ws, sa, key: id } = useParams({ strict: false }) as { ws: string; sa: string; key: string };
  const navigate = useNavigate();
  const found = useQuery(key(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return found.data ? <RevokeKey ws={ws} of={found.data} onClose={close} /> : null;
}
