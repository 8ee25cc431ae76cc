import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { ScrollText } from "lucide-react";
import { present, rowsOf } from "../../api/lists";
import { useMay } from "../../api/me";
import { auditEvents } from "../../api/queries";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { List } from "../../ui/list";
import { Menu, MenuItem } from "../../ui/menu";
import { Head } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { auditColumns } from "./table";
import { actions } from "./words";

const from = "/w/$ws/audit";

const actorTypes = [
  { value: "member", label: "People" },
  { value: "service_account", label: "Service accounts" },
  { value: "system", label: "Postern itself" },
  { value: "anonymous", label: "Nobody in particular" },
] as const;

const outcomes = [
  { value: "done", label: "Done" },
  { value: "refused", label: "Refused" },
] as const;

const spans = [
  { value: "1h", label: "Last hour", ms: 3_600_000 },
  { value: "1d", label: "Last 24 hours", ms: 86_400_000 },
  { value: "7d", label: "Last 7 days", ms: 7 * 86_400_000 },
  { value: "30d", label: "Last 30 days", ms: 30 * 86_400_000 },
] as const;

/** AuditLog is the log of the workspace, the newest first. */
export function AuditLog() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const list = useInfiniteQuery(auditEvents(ws, { ...search, from: since(search.from) }));
  const filter = (next: { [K in keyof typeof search]: (typeof search)[K] | undefined }) =>
    navigate({ search: present({ ...search, ...next }), replace: true });
  const filtered = Object.keys(search).length > 0;
  return (
    <>
      <Head
        title="Audit log"
        text="Every change, and every attempt that was refused. Nothing here is ever altered or removed."
        actions={<Export ws={ws} search={{ ...search, from: since(search.from) }} />}
      />
      <Filters>
        <SearchField label="Search the audit log" value={search.q} onChange={(q) => filter({ q })} />
        <SelectFilter
          label="Time"
          none="Any time"
          value={search.from}
          options={spans}
          onChange={(from) => filter({ from })}
        />
        <SelectFilter
          label="Actor"
          none="Every actor"
          value={search.actor_type}
          options={actorTypes}
          onChange={(actor_type) => filter({ actor_type })}
        />
        <SelectFilter
          label="Action"
          none="Every action"
          value={search.action}
          options={actions.map((a) => ({ value: a, label: a }))}
          onChange={(action) => filter({ action })}
        />
        <SelectFilter
          label="Outcome"
          none="Every outcome"
          value={search.outcome}
          options={outcomes}
          onChange={(outcome) => filter({ outcome })}
        />
        {filtered && (
          <Button kind="plain" onClick={() => navigate({ search: {} })}>
            Clear filters
          </Button>
        )}
      </Filters>
      <List
        label="Audit log"
        query={list}
        rows={rowsOf(list.data)}
        lines={1}
        columns={auditColumns((e) => (
          <Link
            className="row-link mono"
            to="/w/$ws/audit/$evt"
            params={{ ws, evt: e.id }}
            search={search}
            resetScroll={false}
          >
            {e.action}
          </Link>
        ))}
        empty={
          filtered ? (
            <NoMatch onClear={() => navigate({ search: {} })} />
          ) : (
            <Empty icon={<ScrollText aria-hidden />} title="Nothing has happened yet">
              Whatever is changed in this workspace will be here: who did it, on what, and from where.
            </Empty>
          )
        }
      />
      <Outlet />
    </>
  );
}

/** since is the moment that a span of an address begins at, to the minute, so that it
    stays the same for a while; or the moment that is written there. */
export function since(span: string | undefined, now = Date.now()): string | undefined {
  const found = spans.find((s) => s.value === span);
  if (!found) return span;
  return new Date(Math.floor((now - found.ms) / 60_000) * 60_000).toISOString();
}

function Export({ ws, search }: { ws: string; search: object }) {
  const may = useMay()("iam.audit:export");
  const get = (format: string) => {
    const query = new URLSearchParams({ ...(present(search) as Record<string, string>), format });
    const link = document.createElement("a");
    link.href = `/v1/workspaces/${encodeURIComponent(ws)}/audit_events/export?${query}`;
    link.download = `audit.${format}`;
    link.click();
  };
  return (
    <Menu
      label="Export"
      trigger={
        <button type="button" className="button">
          Export
        </button>
      }
    >
      <MenuItem reason={may} onSelect={() => get("jsonl")}>
        As JSON lines
      </MenuItem>
      <MenuItem reason={may} onSelect={() => get("csv")}>
        As CSV
      </MenuItem>
    </Menu>
  );
}
