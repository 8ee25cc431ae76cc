import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Bot, Plus } from "lucide-react";
import { problemOf } from "../../api/problem";
import { type AccountFilters, accounts, present, roles, type ServiceAccount } from "../../api/queries";
import type { AccountSearch } from "../../router";
import { StateBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Empty, Failure, NoMatch, SkeletonRows } from "../../ui/states";
import { Time, useNow } from "../../ui/time";

const from = "/w/$ws/settings/service-accounts";

/** AccountList is Settings → Service accounts. */
export function AccountList() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const filters: AccountFilters = {
    ...search,
    state: search.state === "all" ? undefined : (search.state ?? "active"),
  };
  const list = useInfiniteQuery({ ...accounts(ws, filters), placeholderData: keepPreviousData });
  const rows = list.data?.pages.flatMap((p) => p.data) ?? [];
  const filtered = Boolean(search.q || search.role || search.owner);
  const open = () => navigate({ to: "/w/$ws/settings/service-accounts/new", params: { ws } });
  return (
    <>
      <div className="head">
        <div className="grow">
          <h1>Service accounts</h1>
          <p className="dim">
            For backends, CI jobs, and webhooks that need durable access. They never count toward seats.
          </p>
        </div>
        <Button kind="primary" onClick={open}>
          <Plus aria-hidden /> New service account
        </Button>
      </div>
      <Filters
        ws={ws}
        search={search}
        onChange={(next) => navigate({ search: present({ ...search, ...next }), replace: true })}
      />
      {list.error && rows.length === 0 ? (
        <div className="table-wrap">
          <Failure problem={problemOf(list.error)} onRetry={() => list.refetch()} />
        </div>
      ) : (
        <div className="table-wrap">
          {!list.isPending && rows.length === 0 ? (
            filtered ? (
              <NoMatch onClear={() => navigate({ search: {} })} />
            ) : (
              <Empty
                icon={<Bot aria-hidden />}
                title={search.state === "inactive" ? "No inactive service accounts" : "No service accounts yet"}
                action={
                  <Button kind="primary" onClick={open}>
                    <Plus aria-hidden /> New service account
                  </Button>
                }
                command="postern sa create support-bot-prod --role operator"
              >
                When a backend, CI job, or webhook needs durable access, create a service account rather than tying a
                key to a real user.
              </Empty>
            )
          ) : (
            <Table ws={ws} rows={rows} loading={list.isPending} />
          )}
          {list.hasNextPage && (
            <div className="table-foot">
              <Button busy={list.isFetchingNextPage} onClick={() => list.fetchNextPage()}>
                Show more
              </Button>
            </div>
          )}
        </div>
      )}
      <Outlet />
    </>
  );
}

interface FiltersProps {
  ws: string;
  search: AccountSearch;
  onChange: (next: { [K in keyof AccountSearch]: AccountSearch[K] | undefined }) => void;
}

function Filters({ ws, search, onChange }: FiltersProps) {
  const all = useQuery(roles(ws));
  return (
    <search className="row">
      <input
        className="input"
        type="search"
        aria-label="Search service accounts"
        placeholder="Search by name, description or owner"
        defaultValue={search.q ?? ""}
        onChange={(e) => onChange({ q: e.target.value || undefined })}
      />
      <select
        className="input"
        aria-label="State"
        value={search.state ?? "active"}
        onChange={(e) =>
          onChange({ state: e.target.value === "active" ? undefined : (e.target.value as "inactive" | "all") })
        }
      >
        <option value="active">Active</option>
        <option value="inactive">Inactive</option>
        <option value="all">All</option>
      </select>
      <select
        className="input"
        aria-label="Role"
        value={search.role ?? ""}
        onChange={(e) => onChange({ role: e.target.value || undefined })}
      >
        <option value="">Every role</option>
        {all.data?.data.map((r) => (
          <option key={r.id} value={r.name}>
            {r.title}
          </option>
        ))}
      </select>
    </search>
  );
}

function Table({ ws, rows, loading }: { ws: string; rows: ServiceAccount[]; loading: boolean }) {
  const now = useNow(60_000);
  return (
    <table aria-busy={loading || undefined}>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Owner</th>
          <th scope="col">Role</th>
          <th scope="col">Keys</th>
          <th scope="col">Last used</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        {loading && <SkeletonRows columns={6} />}
        {rows.map((a) => (
          <tr key={a.id}>
            <td data-main>
              <Link to="/w/$ws/settings/service-accounts/$sa" params={{ ws, sa: a.name }}>
                {a.name}
              </Link>
              <p className="dim small">{a.description}</p>
            </td>
            <td data-label="Owner">{a.owner || <span className="dim">No owner</span>}</td>
            <td data-label="Role">{a.role.name}</td>
            <td data-label="Keys" className="number">
              {a.keys.active}
            </td>
            <td data-label="Last used">
              <Time at={a.last_used?.at} />
            </td>
            <td data-label="State">
              <StateBadge of={a} now={now} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
