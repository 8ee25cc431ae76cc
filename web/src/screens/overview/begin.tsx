import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, Circle } from "lucide-react";
import type { ReactNode } from "react";
import { rowsOf } from "../../api/lists";
import { useAllowed } from "../../api/me";
import { accounts, keys, members, roles, usage } from "../../api/queries";
import { Panel, Section } from "../../ui/page";

/** Begin are the first steps in a workspace, which tick themselves. It is gone when
    all are done. */
export function Begin({ ws }: { ws: string }) {
  const allowed = useAllowed();
  const every = ["iam.service_accounts:write", "iam.keys:write", "iam.roles:read", "iam.members:write"].every(allowed);
  const account = useInfiniteQuery({ ...accounts(ws, {}), enabled: every });
  const key = useInfiniteQuery({ ...keys(ws, { principal_type: "service_account" }), enabled: every });
  const role = useQuery({ ...roles(ws), enabled: every });
  const people = useInfiniteQuery({ ...members(ws, { state: "active" }), enabled: every });
  const used = useQuery({ ...usage(ws, {}, "1d", 30), enabled: every });
  if (!account.data || !key.data || !role.data || !people.data || !used.data) return null;
  const made = rowsOf(account.data);
  const steps: { name: string; done: boolean; how: ReactNode }[] = [
    {
      name: "Create a service account",
      done: made.length > 0,
      how: (
        <Link to="/w/$ws/settings/service-accounts/new" params={{ ws }}>
          New service account
        </Link>
      ),
    },
    {
      name: "Give it a role with what it needs, and no more",
      done: made.length > 0 && role.data.some((r) => r.service_accounts > 0 && r.name !== "admin"),
      how: (
        <Link to="/w/$ws/settings/roles" params={{ ws }}>
          Roles
        </Link>
      ),
    },
    {
      name: "Make a key",
      done: rowsOf(key.data).length > 0,
      how: (
        <Link to="/w/$ws/settings/service-accounts" params={{ ws }}>
          Service accounts
        </Link>
      ),
    },
    { name: "Verify a first call", done: (used.data[0]?.ok ?? 0) > 0, how: <code>postern key verify</code> },
    {
      name: "Invite a colleague",
      done: rowsOf(people.data).length > 1,
      how: (
        <Link to="/w/$ws/settings/members/invite" params={{ ws }}>
          Invite
        </Link>
      ),
    },
  ];
  if (steps.every((s) => s.done)) return null;
  return (
    <Section title="Begin">
      <Panel>
        <ul className="lines">
          {steps.map((s) => (
            <li key={s.name}>
              <span className="actor" data-done={s.done || undefined}>
                {s.done ? <Check role="img" aria-label="Done" /> : <Circle role="img" aria-label="Not yet" />}
                {s.name}
              </span>
              {!s.done && <span className="small">{s.how}</span>}
            </li>
          ))}
        </ul>
      </Panel>
    </Section>
  );
}
