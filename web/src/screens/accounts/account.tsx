import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate, useParams } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useEffect, useRef } from "react";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import { account, roles, type ServiceAccount } from "../../api/queries";
import { nameOf } from "../../ui/actor";
import { StateBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { CopyIcon } from "../../ui/copy";
import { OutOfDate } from "../../ui/list";
import { Note } from "../../ui/note";
import { Head } from "../../ui/page";
import { Failure, Waiting } from "../../ui/states";
import { Time, useNow } from "../../ui/time";
import { titleOf } from "../roles/choose";
import { AccountActions, useTurn } from "./actions";
import { Moving } from "./move";

const from = "/w/$ws/settings/service-accounts/$sa";

/** useAccount is the account that the page is about. */
export function useAccount(): { ws: string; sa: string; of: ServiceAccount | undefined } {
  const { ws, sa } = useParams({ from });
  return { ws, sa, of: useQuery(account(ws, sa)).data };
}

/** AccountPage is the page of one service account. */
export function AccountPage() {
  const { ws, sa } = useParams({ from });
  const found = useQuery(account(ws, sa));
  if (!found.data) {
    return found.error ? (
      <div className="table-wrap">
        <Failure problem={problemOf(found.error)} onRetry={() => void found.refetch()} />
      </div>
    ) : (
      <Waiting />
    );
  }
  const a = found.data;
  return (
    <>
      {found.error ? <OutOfDate error={found.error} onRetry={() => void found.refetch()} /> : null}
      <AccountHead ws={ws} account={a} />
      <StateBanner ws={ws} account={a} />
      <Moving ws={ws} account={a} />
      <nav className="tabs" aria-label={`Parts of ${a.name}`}>
        <Tab to="/w/$ws/settings/service-accounts/$sa" name="Keys" />
        <Tab to="/w/$ws/settings/service-accounts/$sa/permissions" name="Permissions" />
        <Tab to="/w/$ws/settings/service-accounts/$sa/audit" name="Audit" />
        <Tab to="/w/$ws/settings/service-accounts/$sa/settings" name="Settings" />
      </nav>
      <Outlet />
    </>
  );
}

type TabTo = "" | "/permissions" | "/audit" | "/settings";

function Tab({ to, name }: { to: `${typeof from}${TabTo}`; name: string }) {
  const params = useParams({ from });
  const path = useLocation({ select: (l) => l.pathname });
  const place = to.slice(from.length);
  const under = path.split("/").slice(6);
  const here = place === "" ? !/^(permissions|audit|settings)$/.test(under[0] ?? "") : under[0] === place.slice(1);
  return (
    <Link
      className="tab"
      to={to}
      params={params}
      activeOptions={{ exact: true }}
      aria-current={here ? "page" : undefined}
    >
      {name}
    </Link>
  );
}

function AccountHead({ ws, account: a }: { ws: string; account: ServiceAccount }) {
  const now = useNow(60_000);
  const all = useQuery(roles(ws));
  return (
    <Head
      title={a.name}
      badge={<StateBadge of={a} now={now} />}
      crumbs={
        <Link to="/w/$ws/settings/service-accounts" params={{ ws }}>
          Service accounts
        </Link>
      }
      text={
        <>
          {a.description && <p>{a.description}</p>}
          <p className="facts small">
            <span>Role {titleOf(a.role.name, all.data)}</span>
            <span>{a.owner ? `Owner ${a.owner}` : "No owner"}</span>
            <span>
              Last used <Time at={a.last_used?.at} none="never" />
            </span>
            <span className="row">
              <code>{a.id}</code>
              <CopyIcon text={a.id} label="Copy the id" />
            </span>
          </p>
        </>
      }
      actions={
        <>
          <NewKeyButton ws={ws} account={a} />
          <AccountActions ws={ws} account={a} page />
        </>
      }
    />
  );
}

function NewKeyButton({ ws, account: a }: { ws: string; account: ServiceAccount }) {
  const navigate = useNavigate();
  const may = useMay();
  const button = useRef<HTMLButtonElement>(null);
  const isNew = useLocation({ select: (l) => l.hash === "new-key" });
  useEffect(() => {
    if (isNew) button.current?.focus(); // the account was just made: a key is what comes next
  }, [isNew]);
  if (a.state === "inactive") return null;
  const reason = a.state === "paused" ? "The account is paused. Resume it to make a key." : may("iam.keys:write");
  return (
    <Button
      ref={button}
      kind="primary"
      reason={reason}
      onClick={() => navigate({ to: "/w/$ws/settings/service-accounts/$sa/keys/new", params: { ws, sa: a.name } })}
    >
      <Plus aria-hidden /> New key
    </Button>
  );
}

function StateBanner({ ws, account: a }: { ws: string; account: ServiceAccount }) {
  const resume = useTurn(ws, a);
  const may = useMay();
  if (a.state === "paused") {
    return (
      <div className="banner">
        <Note tone="warn">
          <div className="row">
            <span className="grow">This account is paused. Every key it owns is refused until it is resumed.</span>
            <Button reason={may("iam.service_accounts:write")} onClick={resume}>
              Resume
            </Button>
          </div>
        </Note>
      </div>
    );
  }
  if (a.state !== "inactive") return null;
  return (
    <div className="banner">
      <Note>
        This account was revoked{a.revoked && <> by {nameOf(a.revoked.by)} </>}
        {a.revoked && <Time at={a.revoked.at} />}. It is inactive for good: none of its keys is accepted, and its name
        cannot be used again.{a.revoked?.reason && <> Reason: {a.revoked.reason}</>}
      </Note>
    </div>
  );
}
