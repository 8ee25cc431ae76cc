import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Bot, Plus } from "lucide-react";
import { present, rowsOf } from "../../api/lists";
import { useMay } from "../../api/me";
import { accounts, type Role, roles, type ServiceAccount, type SubjectUsage, usage } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Traffic } from "../../ui/bars";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { type Column, List } from "../../ui/list";
import { Head } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { Time, useNow } from "../../ui/time";
import { titleOf } from "../roles/choose";
import { AccountActions } from "./actions";

const from = "/w/$ws/settings/service-accounts";

const states = [
  { value: "paused", label: "Paused" },
  { value: "inactive", label: "Inactive" },
  { value: "all", label: "All" },
] as const;

/** AccountList is Settings → Service accounts. */
export function AccountList() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const may = useMay();
  const all = useQuery(roles(ws));
  const state = search.state === "all" ? undefined : (search.state ?? "active");
  const list = useInfiniteQuery(accounts(ws, { ...search, state }));
  const rows = rowsOf(list.data);
  const traffic = useQuery(usage(ws, { service_accounts: rows.map((a) => a.id) }, "1d", 7));
  const filter = (next: { [K in keyof typeof search]: (typeof search)[K] | undefined }) =>
    navigate({ search: present({ ...search, ...next }), replace: true });
  const create = (
    <Button
      kind="primary"
      reason={may("iam.service_accounts:write")}
      onClick={() => navigate({ to: "/w/$ws/settings/service-accounts/new", params: { ws }, search })}
    >
      <Plus aria-hidden /> New service account
    </Button>
  );
  return (
    <>
      <Head
        title="Service accounts"
        text="For backends, CI jobs, and webhooks that need durable access. They never count toward seats."
        actions={create}
      />
      <Filters>
        <SearchField label="Search service accounts" value={search.q} onChange={(q) => filter({ q })} />
        <SelectFilter
          label="State"
          value={search.state}
          none="Active"
          options={states}
          onChange={(state) => filter({ state })}
        />
        <SelectFilter
          label="Role"
          value={search.role}
          none="Every role"
          options={(all.data ?? []).map((r) => ({ value: r.name, label: r.title || r.name }))}
          onChange={(role) => filter({ role })}
        />
        <SearchField label="Owner" value={search.owner} onChange={(owner) => filter({ owner })} />
      </Filters>
      <List
        label="Service accounts"
        query={list}
        rows={rows}
        columns={useColumns(ws, traffic.data, all.data)}
        faded={(a) => a.state === "inactive"}
        empty={
          search.q || search.role || search.owner ? (
            <NoMatch onClear={() => navigate({ search: {} })} />
          ) : (
            <None state={search.state} action={create} />
          )
        }
      />
      <Outlet />
    </>
  );
}

function None({ state, action }: { state: string | undefined; action: React.ReactNode }) {
  if (state === "paused" || state === "inactive") {
    return (
      <Empty icon={<Bot aria-hidden />} title={`No ${state} service accounts`}>
        {state === "paused"
          ? "A paused account stops every key it owns until it is resumed."
          : "A revoked account stays here, inactive, so that the audit log goes on naming it."}
      </Empty>
    );
  }
  return (
    <Empty
      icon={<Bot aria-hidden />}
      title="No service accounts yet"
      action={action}
      command='postern sa create support-bot-prod --role operator --description "Owner: Support Platform"'
    >
      When a backend, CI job, or webhook needs durable access, create a service account rather than tying a key to a
      real user.
    </Empty>
  );
}

function useColumns(
  ws: string,
  traffic: SubjectUsage[] | undefined,
  all: Role[] | undefined,
): Column<ServiceAccount>[] {
  const now = useNow(60_000);
  return [
    {
      name: "Name",
      kind: "main",
      cell: (a) => (
        <>
          <Link className="row-link" to="/w/$ws/settings/service-accounts/$sa" params={{ ws, sa: a.name }}>
            {a.name}
          </Link>
          <p className="dim small one-line">{a.description || "No description"}</p>
        </>
      ),
    },
    { name: "Owner", cell: (a) => a.owner || <span className="dim">No owner</span> },
    { name: "Role", cell: (a) => titleOf(a.role.name, all) },
    { name: "Keys", kind: "number", cell: (a) => a.keys.active },
    {
      name: "Traffic 7 d",
      cell: (a) => (
        <Traffic of={traffic?.find((t) => t.id === a.id)} step="1d" label={`Traffic of ${a.name} in 7 days`} />
      ),
    },
    { name: "Last used", cell: (a) => <Time at={a.last_used?.at} /> },
    { name: "State", cell: (a) => <StateBadge of={a} now={now} /> },
    { name: "Actions", kind: "actions", cell: (a) => <AccountActions ws={ws} account={a} /> },
  ];
}
