import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { KeyRound, Plus } from "lucide-react";
import { present, rowsOf } from "../../api/lists";
import { useMay } from "../../api/me";
import { type Key, keys, myKeys } from "../../api/queries";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { List } from "../../ui/list";
import { Menu, MenuItem, MenuLine } from "../../ui/menu";
import { Head } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { useKeyColumns } from "./columns";
import { useTurnKey } from "./turn";

const from = "/w/$ws/settings/api-keys";

const states = (["active", "paused", "expired", "revoked"] as const).map((value) => ({
  value,
  label: value.charAt(0).toUpperCase() + value.slice(1),
}));

const traffics = [{ value: "machine", label: "As of a machine" }] as const;

/** APIKeys are the keys that act as people: one's own, and for admins everyone's. */
export function APIKeys() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const may = useMay();
  return (
    <>
      <Head
        title="API keys"
        text="These act as you. They disappear when you are removed from the workspace. For a backend or CI job, use a service account."
        actions={
          <Button kind="primary" onClick={() => navigate({ to: "/w/$ws/settings/api-keys/new", params: { ws } })}>
            <Plus aria-hidden /> New API key
          </Button>
        }
      />
      {!may("iam.keys:read") && (
        <nav className="tabs" aria-label="Whose keys">
          <Link
            className="tab"
            to={from}
            params={{ ws }}
            search={{}}
            activeOptions={{ exact: true, includeSearch: true }}
          >
            Mine
          </Link>
          <Link
            className="tab"
            to={from}
            params={{ ws }}
            search={{ of: "everyone" }}
            activeOptions={{ includeSearch: true }}
          >
            Everyone
          </Link>
        </nav>
      )}
      {search.of === "everyone" ? <Everyone ws={ws} /> : <Mine ws={ws} />}
      <Outlet />
    </>
  );
}

function useColumns(ws: string, shown: Key[], owners: boolean) {
  const search = useSearch({ from });
  const columns = useKeyColumns(ws, shown, {
    owners,
    link: (k) => (
      <Link
        className="row-link"
        to="/w/$ws/settings/api-keys/$key"
        params={{ ws, key: k.id }}
        search={search}
        resetScroll={false}
      >
        {k.name}
      </Link>
    ),
  });
  const actions = {
    name: "Actions",
    kind: "actions" as const,
    cell: (k: Key) => (k.state === "revoked" ? null : <Actions ws={ws} of={k} mine={!owners} />),
  };
  return [...columns, actions];
}

function Actions({ ws, of: k, mine }: { ws: string; of: Key; mine: boolean }) {
  const navigate = useNavigate();
  const search = useSearch({ from });
  const may = useMay();
  const turn = useTurnKey(ws, k);
  const change = mine ? undefined : may("iam.keys:write");
  return (
    <Menu label={`Actions for ${k.name}`}>
      <MenuItem reason={change} onSelect={turn}>
        {k.state === "paused" ? "Resume" : "Pause"}
      </MenuItem>
      {!mine && (
        <MenuItem
          reason={may("iam.service_accounts:write")}
          onSelect={() =>
            navigate({ to: "/w/$ws/settings/service-accounts/new", params: { ws }, search: { move: k.id } })
          }
        >
          Move to a service account
        </MenuItem>
      )}
      <MenuLine />
      <MenuItem
        kind="danger"
        reason={change}
        onSelect={() => navigate({ to: "/w/$ws/settings/api-keys/$key/revoke", params: { ws, key: k.id }, search })}
      >
        Revoke
      </MenuItem>
    </Menu>
  );
}

function Mine({ ws }: { ws: string }) {
  const navigate = useNavigate();
  const list = useInfiniteQuery(myKeys(ws));
  const rows = rowsOf(list.data);
  return (
    <List
      label="My API keys"
      query={list}
      rows={rows}
      columns={useColumns(ws, rows, false)}
      faded={(k) => k.state === "revoked" || k.state === "expired"}
      empty={
        <Empty
          icon={<KeyRound aria-hidden />}
          title="You have no API keys"
          command="postern key create me"
          action={
            <Button kind="primary" onClick={() => navigate({ to: "/w/$ws/settings/api-keys/new", params: { ws } })}>
              <Plus aria-hidden /> Make an API key
            </Button>
          }
        >
          An API key acts as you, for scripts and trials of your own.
        </Empty>
      }
    />
  );
}

function Everyone({ ws }: { ws: string }) {
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const list = useInfiniteQuery(
    keys(ws, {
      principal_type: "member",
      state: search.state,
      q: search.q,
      ...(search.traffic && { machine_like: true }),
    }),
  );
  const rows = rowsOf(list.data);
  const filter = (next: { [K in keyof typeof search]: (typeof search)[K] | undefined }) =>
    navigate({ search: present({ ...search, ...next }), replace: true });
  return (
    <>
      <Filters>
        <SearchField label="Search API keys" value={search.q} onChange={(q) => filter({ q })} />
        <SelectFilter
          label="State"
          none="Every state"
          value={search.state}
          options={states}
          onChange={(state) => filter({ state })}
        />
        <SelectFilter
          label="Traffic"
          none="Any traffic"
          value={search.traffic}
          options={traffics}
          onChange={(traffic) => filter({ traffic })}
        />
      </Filters>
      <List
        label="API keys of everyone"
        query={list}
        rows={rows}
        columns={useColumns(ws, rows, true)}
        faded={(k) => k.state === "revoked" || k.state === "expired"}
        empty={
          search.q || search.state || search.traffic ? (
            <NoMatch onClear={() => navigate({ search: { of: "everyone" } })} />
          ) : (
            <Empty icon={<KeyRound aria-hidden />} title="Nobody has an API key">
              Personal keys disappear with their person. For a backend or CI job, use a service account.
            </Empty>
          )
        }
      />
    </>
  );
}
