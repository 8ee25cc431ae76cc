import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useParams, useRouterState } from "@tanstack/react-router";
import {
  Bot,
  KeyRound,
  LayoutDashboard,
  type LucideIcon,
  Menu as MenuIcon,
  ScrollText,
  Search,
  Server,
  Shield,
  SlidersHorizontal,
  Users,
} from "lucide-react";
import { useEffect, useState } from "react";
import { useAllowed } from "../api/me";
import { nodes, serversOf, whoami } from "../api/queries";
import { IconButton } from "../ui/button";
import { Sheet } from "../ui/sheet";
import { AccountMenu } from "./accountmenu";
import { said, stale } from "./live";
import { Palette, usePaletteKey } from "./palette";
import { StepUp } from "./stepup";
import { useStream } from "./stream";
import { WorkspaceName } from "./workspace";

/** Place is somewhere one can go. */
export interface Place {
  to:
    | "/w/$ws"
    | "/w/$ws/audit"
    | "/w/$ws/settings/service-accounts"
    | "/w/$ws/settings/api-keys"
    | "/w/$ws/settings/members"
    | "/w/$ws/settings/roles"
    | "/w/$ws/settings/nodes"
    | "/w/$ws/settings/general";
  name: string;
  icon: LucideIcon;
}

/** places are those that stand at the side of every page. */
export const places: { title?: string; of: Place[] }[] = [
  {
    of: [
      { to: "/w/$ws", name: "Overview", icon: LayoutDashboard },
      { to: "/w/$ws/audit", name: "Audit log", icon: ScrollText },
    ],
  },
  {
    title: "Settings",
    of: [
      { to: "/w/$ws/settings/service-accounts", name: "Service accounts", icon: Bot },
      { to: "/w/$ws/settings/api-keys", name: "API keys", icon: KeyRound },
      { to: "/w/$ws/settings/members", name: "Members", icon: Users },
      { to: "/w/$ws/settings/roles", name: "Roles", icon: Shield },
      { to: "/w/$ws/settings/nodes", name: "Nodes", icon: Server },
      { to: "/w/$ws/settings/general", name: "General", icon: SlidersHorizontal },
    ],
  },
];

/** Shell is what stands around every page of a workspace: where one is, and where
    one can go. */
export function Shell() {
  const { ws } = useParams({ from: "/w/$ws" });
  return <Frame ws={ws} />;
}

/** AccountShell stands around the pages about oneself: the workspace is the one that
    one works in. */
export function AccountShell() {
  const me = useQuery(whoami);
  return <Frame ws={me.data?.principal.workspace.slug ?? "-"} />;
}

function Frame({ ws }: { ws: string }) {
  const [searching, setSearching] = useState(false);
  const [open, setOpen] = useState(false);
  const path = useRouterState({ select: (s) => s.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the sheet closes when one arrives somewhere
  useEffect(() => setOpen(false), [path]);
  usePaletteKey(() => setSearching(true));
  useStream(ws);
  const side = <Side ws={ws} onSearch={() => setSearching(true)} />;
  return (
    <div className="shell">
      <a className="button skip" href="#main">
        Skip to the page
      </a>
      <aside className="side">{side}</aside>
      <div className="topbar">
        <IconButton label="Open the menu" onClick={() => setOpen(true)}>
          <MenuIcon aria-hidden />
        </IconButton>
        <WorkspaceName ws={ws} />
        <span className="grow" />
        <IconButton label="Search" onClick={() => setSearching(true)}>
          <Search aria-hidden />
        </IconButton>
      </div>
      {open && (
        <Sheet title="Menu" onClose={() => setOpen(false)}>
          {side}
        </Sheet>
      )}
      <div className="page">
        <Stale />
        <main id="main" tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <StepUp />
      {searching && <Palette ws={ws} onClose={() => setSearching(false)} />}
      <p className="hidden-text" role="status" aria-live="polite">
        {said.use()}
      </p>
    </div>
  );
}

function Side({ ws, onSearch }: { ws: string; onSearch: () => void }) {
  return (
    <>
      <WorkspaceName ws={ws} />
      <button type="button" className="search" onClick={onSearch}>
        <Search aria-hidden />
        <span className="grow">Search</span>
        <kbd>{navigator.platform.startsWith("Mac") ? "⌘K" : "Ctrl K"}</kbd>
      </button>
      <nav aria-label="Main">
        {places.map((group) => (
          <div key={group.title ?? ""} className="nav-group">
            {group.title && <p className="nav-title">{group.title}</p>}
            {group.of.map(({ to, name, icon: Icon }) => (
              <Link key={to} className="nav-link" to={to} params={{ ws }} activeOptions={{ exact: to === "/w/$ws" }}>
                <Icon aria-hidden />
                {name}
              </Link>
            ))}
          </div>
        ))}
      </nav>
      <div className="grow" />
      <InStep ws={ws} />
      <AccountMenu />
    </>
  );
}

/** InStep says how many servers there are and whether all have heard of everything. */
function InStep({ ws }: { ws: string }) {
  const all = useQuery({ ...nodes(ws), enabled: useAllowed()("iam.nodes:read") });
  if (!all.data) return null;
  const servers = serversOf(all.data);
  const behind = servers.filter((n) => n.lag !== null && n.lag > 0).length;
  const words = servers.length === 1 ? "1 node" : `${servers.length} nodes`;
  return (
    <Link className="nav-link small" to="/w/$ws/settings/nodes" params={{ ws }} activeOptions={{ exact: true }}>
      <span className="dot" data-tone={behind > 0 ? "warn" : "ok"} />
      {behind > 0 ? `${behind} of ${words} behind` : `${words} in step`}
    </Link>
  );
}

function Stale() {
  return stale.use() ? (
    <div className="stale" role="alert">
      This node can no longer prove that it knows every revocation. It is refusing all keys.
    </div>
  ) : null;
}
