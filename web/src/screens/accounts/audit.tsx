import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ScrollText } from "lucide-react";
import { rowsOf } from "../../api/lists";
import { auditEvents } from "../../api/queries";
import { List } from "../../ui/list";
import { Segments } from "../../ui/segments";
import { Empty, Waiting } from "../../ui/states";
import { Export } from "../audit/export";
import { auditColumns } from "../audit/table";
import { useAccount } from "./account";

const sides = [
  { value: "target", label: "Done to it" },
  { value: "actor", label: "Done by it" },
] as const;

/** AccountAudit is what was done to an account, or by it. */
export function AccountAudit() {
  const { ws, of } = useAccount();
  const from = "/w/$ws/settings/service-accounts/$sa/audit";
  const side = useSearch({ from }).by ?? "target";
  const navigate = useNavigate({ from });
  const id = of?.id ?? "";
  const list = useInfiniteQuery({ ...auditEvents(ws, { [side]: id }), enabled: id !== "" });
  if (!of) return <Waiting />;
  const choose = (by: "target" | "actor") => navigate({ search: by === "actor" ? { by } : {}, replace: true });
  return (
    <div className="below-tabs">
      <div className="row" data-ends>
        <Segments label="Events" options={sides} value={side} onChange={choose} />
        <Export ws={ws} search={{ [side]: id }} />
      </div>
      <List
        label={`Audit log of ${of.name}`}
        query={list}
        rows={rowsOf(list.data)}
        lines={1}
        columns={auditColumns((e) => (
          <Link className="row-link mono" to="/w/$ws/audit/$evt" params={{ ws, evt: e.id }} search={{ [side]: id }}>
            {e.action}
          </Link>
        ))}
        empty={
          <Empty icon={<ScrollText aria-hidden />} title="Nothing yet">
            {side === "actor" ? "This account has changed nothing." : "Nothing was done to this account."}
          </Empty>
        }
      />
    </div>
  );
}
