import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Plus, Users } from "lucide-react";
import { cancelInvitation, useChange } from "../../api/changes";
import { present, rowsOf } from "../../api/lists";
import { useAllowed, useMay } from "../../api/me";
import { type Invitation, invitations, type Member, members, roles, seats } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Filters, SearchField, SelectFilter } from "../../ui/filters";
import { type Column, List } from "../../ui/list";
import { Menu, MenuItem, MenuLine } from "../../ui/menu";
import { count } from "../../ui/numbers";
import { Head, Section } from "../../ui/page";
import { Empty, NoMatch } from "../../ui/states";
import { Time, useNow } from "../../ui/time";
import { useToast } from "../../ui/toast";
import { titleOf } from "../roles/choose";

const from = "/w/$ws/settings/members";

const states = [{ value: "removed", label: "Removed" }] as const;

/** Members are the people of the workspace, and those who are invited. */
export function Members() {
  const { ws } = useParams({ from });
  const search = useSearch({ from });
  const navigate = useNavigate({ from });
  const list = useInfiniteQuery(members(ws, { q: search.q, state: search.state ?? "active" }));
  const filter = (next: { [K in keyof typeof search]: (typeof search)[K] | undefined }) =>
    navigate({ search: present({ ...search, ...next }), replace: true });
  return (
    <>
      <Head title="Members" text={<SeatsLine ws={ws} />} actions={<InviteButton ws={ws} />} docs="how-to/members" />
      <Filters>
        <SearchField label="Search members" value={search.q} onChange={(q) => filter({ q })} />
        <SelectFilter
          label="State"
          none="Active"
          value={search.state}
          options={states}
          onChange={(state) => filter({ state })}
        />
      </Filters>
      <List
        label="Members"
        query={list}
        rows={rowsOf(list.data)}
        columns={useColumns(ws)}
        faded={(m) => m.state === "removed"}
        empty={
          search.q ? (
            <NoMatch onClear={() => navigate({ search: {} })} />
          ) : (
            <Empty icon={<Users aria-hidden />} title={search.state ? "Nobody was removed" : "Nobody is here"}>
              Removed people stay readable in the audit log.
            </Empty>
          )
        }
      />
      <Invitations ws={ws} />
      <Outlet />
    </>
  );
}

function SeatsLine({ ws }: { ws: string }) {
  const taken = useQuery(seats(ws));
  if (!taken.data) return <p>Service accounts never count.</p>;
  const { used, limit, pending } = taken.data;
  return (
    <p>
      {limit === null ? `${count(used)} seats used.` : `${count(used)} of ${count(limit)} seats used.`}
      {pending > 0 && ` ${count(pending)} more held by invitations.`} Service accounts never count.
    </p>
  );
}

/** fullness says why nobody more can be invited. */
export function fullness(of: { used: number; pending: number; limit: number | null } | undefined): string | undefined {
  if (!of || of.limit === null || of.used + of.pending < of.limit) return undefined;
  return `All ${count(of.limit)} seats are used or held by invitations. Service accounts never count.`;
}

function InviteButton({ ws }: { ws: string }) {
  const navigate = useNavigate();
  const may = useMay();
  const taken = useQuery(seats(ws));
  return (
    <Button
      kind="primary"
      reason={may("iam.members:write") ?? fullness(taken.data)}
      onClick={() => navigate({ to: "/w/$ws/settings/members/invite", params: { ws } })}
    >
      <Plus aria-hidden /> Invite
    </Button>
  );
}

function useColumns(ws: string): Column<Member>[] {
  const now = useNow(60_000);
  const all = useQuery({ ...roles(ws), enabled: useAllowed()("iam.roles:read") });
  return [
    {
      name: "Name",
      kind: "main",
      cell: (m) => (
        <>
          <span className="strong">{m.name || m.email}</span>
          <p className="dim small">{m.email}</p>
        </>
      ),
    },
    { name: "Role", cell: (m) => titleOf(m.role.name, all.data) },
    { name: "API keys", kind: "number", cell: (m) => m.keys.active },
    { name: "Last active", cell: (m) => <Time at={m.last_active_at} /> },
    { name: "Joined", cell: (m) => <Time at={m.created_at} /> },
    { name: "State", cell: (m) => <StateBadge of={m} now={now} /> },
    { name: "Actions", kind: "actions", cell: (m) => <MemberActions ws={ws} of={m} /> },
  ];
}

function MemberActions({ ws, of: m }: { ws: string; of: Member }) {
  const navigate = useNavigate();
  const may = useMay();
  const last = useLastOwner(ws, m);
  if (m.state === "removed") return null;
  const change = may("iam.members:write") ?? (m.role.name === "owner" ? may("iam.owners:write") : undefined);
  const params = { ws, member: m.id };
  return (
    <Menu label={`Actions for ${m.name || m.email}`}>
      <MenuItem reason={change ?? last} onSelect={() => navigate({ to: `${from}/$member/role`, params })}>
        Change role
      </MenuItem>
      <MenuLine />
      <MenuItem
        kind="danger"
        reason={change ?? last}
        onSelect={() => navigate({ to: `${from}/$member/remove`, params })}
      >
        Remove
      </MenuItem>
    </Menu>
  );
}

/** useLastOwner says why the last owner stays one. */
function useLastOwner(ws: string, m: Member): string | undefined {
  const owners = useQuery({ ...roles(ws), enabled: useAllowed()("iam.roles:read") }).data?.find(
    (r) => r.name === "owner",
  );
  return m.role.name === "owner" && owners?.members === 1
    ? "This is the last owner. Make somebody else an owner first."
    : undefined;
}

function Invitations({ ws }: { ws: string }) {
  const list = useInfiniteQuery(invitations(ws));
  const toast = useToast();
  const may = useMay()("iam.members:write");
  const cancel = useChange(ws, cancelInvitation(ws), (done) =>
    toast(`The invitation of ${done.invitation.email} is cancelled.`),
  );
  const all = useQuery({ ...roles(ws), enabled: useAllowed()("iam.roles:read") });
  const rows = rowsOf(list.data);
  if (!list.isPending && !list.error && rows.length === 0) return null;
  const columns: Column<Invitation>[] = [
    {
      name: "Email",
      kind: "main",
      cell: (i) => (
        <>
          <span className="strong">{i.email}</span>
          <p className="dim small">invited by {i.invited_by.name}</p>
        </>
      ),
    },
    { name: "Role", cell: (i) => titleOf(i.role.name, all.data) },
    { name: "Ends", cell: (i) => <Time ahead at={i.expires_at} /> },
    {
      name: "Actions",
      kind: "actions",
      cell: (i) => (
        <Button kind="plain" reason={may} busy={cancel.busy} onClick={() => cancel.send(i.id)}>
          Cancel<span className="hidden-text"> the invitation of {i.email}</span>
        </Button>
      ),
    },
  ];
  return (
    <Section title="Invitations" text="Each holds a seat until it is accepted, cancelled, or at its end.">
      <List label="Invitations" query={list} rows={rows} columns={columns} empty={null} />
    </Section>
  );
}
