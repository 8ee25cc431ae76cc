import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { ScrollText } from "lucide-react";
import { useState } from "react";
import { only, present } from "../../api/lists";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { List, TextButton } from "../../ui/list";
import { Note } from "../../ui/note";
import { many } from "../../ui/numbers";
import { Head } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { Switch } from "../../ui/switch";
import { Export } from "./export";
import { useAuditLog } from "./still";
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
  const { live } = search;
  const filters = only(search, "from", "to", "actor", "actor_type", "action", "target", "outcome", "q");
  const still = live === "off";
  const begin = useBegin(search.from, still);
  const { list, rows, news } = useAuditLog(ws, { ...filters, from: begin }, still);
  const filter = (next: { [K in keyof typeof search]: (typeof search)[K] | undefined }) =>
    navigate({ search: present({ ...search, ...next }), replace: true });
  const filtered = Object.keys(filters).length > 0;
  const clear = () => navigate({ search: present({ live }) });
  return (
    <>
      <Head
        title="Audit log"
        text="Every change, and every attempt that was refused. Nothing here is ever altered or removed."
        docs="how-to/audit"
        actions={
          <>
            <Switch checked={!still} onChange={(on) => filter({ live: on ? undefined : "off" })}>
              Live
            </Switch>
            <Export ws={ws} search={{ ...filters, from: begin }} />
          </>
        }
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
          <Button kind="plain" onClick={clear}>
            Clear filters
          </Button>
        )}
      </Filters>
      {news && <Since {...news} />}
      <List
        label="Audit log"
        query={list}
        rows={rows}
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
            <NoMatch onClear={clear} />
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

/** Since says how many events came while the list stood still. */
function Since({ count, more, show }: { count: number; more: boolean; show: () => void }) {
  return (
    <div className="banner" role="status">
      {count > 0 ? (
        <Note>
          {more && "At least "}
          {many(count, "new event")}. <TextButton onClick={show}>Show {count === 1 ? "it" : "them"}</TextButton>
        </Note>
      ) : (
        <p className="small dim">The list stands still. What happens meanwhile is counted here.</p>
      )}
    </div>
  );
}

/** useBegin is since a span, and stays what it was while the list stands still: what
    begins at another moment is another list. */
function useBegin(span: string | undefined, still: boolean): string | undefined {
  const [held, hold] = useState({ span, at: since(span) });
  const at = still && held.span === span ? held.at : since(span);
  if (held.span !== span || held.at !== at) hold({ span, at });
  return at;
}

/** since is the moment that a span of an address begins at, to the minute, so that it
    stays the same for a while; or the moment that is written there. */
export function since(span: string | undefined, now = Date.now()): string | undefined {
  const found = spans.find((s) => s.value === span);
  if (!found) return span;
  return new Date(Math.floor((now - found.ms) / 60_000) * 60_000).toISOString();
}
