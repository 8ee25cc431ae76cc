import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Bot, Plus } from "lucide-react";
import { only, present, rowsOf } from "../../api/lists";
import { useMay } from "../../api/me";
import {
  accountCounts,
  accounts,
  type Role,
  roles,
  type ServiceAccount,
  type SubjectUsage,
  usage,
} from "../../api/queries";
import type { AccountSearch } from "../../router";
import { StateBadge } from "../../ui/badge";
import { Traffic } from "../../ui/bars";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { type Column, List } from "../../ui/list";
import { count } from "../../ui/numbers";
import { Head } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { Time, useNow } from "../../ui/time";
import { titleOf } from "../roles/choose";
import { AccountActions } from "./actions";

const from = "/w/$ws/settings/service-accounts";

type Search = AccountSearch;

const needs = [
  { value: "owner", label: "No owner" },
  { value: "keys", label: "No keys" },
  { value: "less_power", label: "Admin, changes no settings" },
] as const;

const orders = [
  { value: "-name", label: "Name, Z to A" },
  { value: "owner", label: "Owner" },
  { value: "role", label: "Role" },
  { value: "-last_used", label: "Used last" },
  { value: "last_used", label: "Unused for longest" },
] as const;

/** AccountList is Settings → Service accounts. */
export function AccountList() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const may = useMay();
  const state = search.state === "all" ? undefined : (search.state ?? "active");
  const filters = only(search, "role", "owner", "need", "q", "sort");
  const list = useInfiniteQuery(accounts(ws, { ...filters, state }));
  const all = useQuery(roles(ws));
  const rows = rowsOf(list.data);
  const traffic = useQuery(usage(ws, { service_accounts: rows.map((a) => a.id) }, "1d", 7));
  const filter = (next: Change) => navigate({ search: present({ ...search, ...next }), replace: true });
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
        docs="how-to/create-a-service-account"
      />
      <AccountFilters ws={ws} search={search} roles={all.data} onChange={filter} />
      <List
        label="Service accounts"
        query={list}
        rows={rows}
        columns={useColumns(ws, traffic.data, all.data)}
        faded={(a) => a.state === "inactive"}
        sorting={{
          by: search.sort ?? "name",
          onChange: (by) => filter({ sort: by === "name" ? undefined : (by as Search["sort"]) }),
        }}
        empty={
          search.q || search.role || search.owner || search.need ? (
            <NoMatch onClear={() => navigate({ search: present({ sort: search.sort }) })} />
          ) : (
            <None state={search.state} action={create} />
          )
        }
      />
      <Outlet />
    </>
  );
}

type Change = { [K in keyof Search]: Search[K] | undefined };

interface FiltersProps {
  ws: string;
  search: Search;
  roles: Role[] | undefined;
  onChange: (next: Change) => void;
}

function AccountFilters({ ws, search, roles: all, onChange }: FiltersProps) {
  const { role, owner, need, q } = search;
  const counts = useQuery(accountCounts(ws, { role, owner, need, q })).data;
  const counted = (label: string, n: number | undefined) => (n === undefined ? label : `${label} (${count(n)})`);
  const states = [
    { value: "paused", label: counted("Paused", counts?.paused) },
    { value: "inactive", label: counted("Inactive", counts?.inactive) },
    { value: "all", label: counted("All", counts && counts.active + counts.paused + counts.inactive) },
  ] as const;
  return (
    <Filters>
      <SearchField label="Search service accounts" value={q} onChange={(text) => onChange({ q: text })} />
      <SearchField label="Owner" value={owner} onChange={(name) => onChange({ owner: name })} />
      <SelectFilter
        label="State"
        value={search.state}
        none={counted("Active", counts?.active)}
        options={states}
        onChange={(state) => onChange({ state })}
      />
      <SelectFilter
        label="Role"
        value={role}
        none="Every role"
        options={(all ?? []).map((r) => ({ value: r.name, label: r.title || r.name }))}
        onChange={(name) => onChange({ role: name })}
      />
      <SelectFilter
        label="Needs attention"
        value={need}
        none="Attention: any"
        options={needs}
        onChange={(what) => onChange({ need: what })}
      />
      <SelectFilter
        label="Sort"
        narrow
        value={search.sort}
        none="Name, A to Z"
        options={orders}
        onChange={(sort) => onChange({ sort })}
      />
    </Filters>
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
      sort: "name",
      cell: (a) => (
        <>
          <Link className="row-link" to="/w/$ws/settings/service-accounts/$sa" params={{ ws, sa: a.name }}>
            {a.name}
          </Link>
          <p className="dim small one-line">{a.description || "No description"}</p>
        </>
      ),
    },
    { name: "Owner", sort: "owner", cell: (a) => a.owner || <span className="dim">No owner</span> },
    { name: "Role", sort: "role", cell: (a) => titleOf(a.role.name, all) },
    { name: "Keys", kind: "number", cell: (a) => a.keys.active },
    {
      name: "Traffic 7 d",
      cell: (a) => (
        <Traffic of={traffic?.find((t) => t.id === a.id)} step="1d" label={`Traffic of ${a.name} in 7 days`} />
      ),
    },
    { name: "Last used", sort: "last_used", cell: (a) => <Time at={a.last_used?.at} /> },
    { name: "State", cell: (a) => <StateBadge of={a} now={now} /> },
    { name: "Actions", kind: "actions", cell: (a) => <AccountActions ws={ws} account={a} /> },
  ];
}
