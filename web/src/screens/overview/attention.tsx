import { Link } from "@tanstack/react-router";
import {
  Bot,
  Hourglass,
  KeyRound,
  type LucideIcon,
  Replace,
  ShieldAlert,
  TriangleAlert,
  UserRoundX,
} from "lucide-react";
import type { ReactNode } from "react";
import type { Schema } from "../../api/client";
import { Panel, Section } from "../../ui/page";
import { Time } from "../../ui/time";

type Need = Schema["Attention"];
type Item = Schema["AttentionItem"];

const shown = 5; // of each sort

const icons: Record<Need["code"], LucideIcon> = {
  revocation_unconfirmed: TriangleAlert,
  rotation_ready: Replace,
  key_expiring_in_use: Hourglass,
  member_key_machine_like: Bot,
  account_too_powerful: ShieldAlert,
  account_without_owner: UserRoundX,
  account_without_keys: KeyRound,
};

/** Needs is what needs somebody, the most urgent first. */
export function Needs({ ws, of }: { ws: string; of: Need[] }) {
  if (of.length === 0) return null;
  return (
    <Section title="Needs attention">
      <Panel>
        <ul className="lines">
          {of.flatMap((need) =>
            need.items.slice(0, shown).map((item) => {
              const Icon = icons[need.code];
              return (
                <li key={need.code + item.target.id}>
                  <span className="actor">
                    <Icon aria-hidden />
                    <span>
                      <Words ws={ws} code={need.code} of={item} />
                    </span>
                  </span>
                </li>
              );
            }),
          )}
        </ul>
        <More of={of} />
      </Panel>
    </Section>
  );
}

function More({ of }: { of: Need[] }) {
  const rest = of.reduce((n, need) => n + Math.max(0, need.items.length - shown), 0);
  const endless = of.some((need) => need.more);
  if (rest === 0) return null;
  return (
    <p className="small dim">
      And {rest} more{endless && ", at least"}.
    </p>
  );
}

interface WordsProps {
  ws: string;
  code: Need["code"];
  of: Item;
}

/** Words say what is the matter with one thing. */
function Words({ ws, code, of }: WordsProps) {
  const owner = of.principal?.name ?? "";
  switch (code) {
    case "revocation_unconfirmed":
      return (
        <>
          <Link to="/w/$ws/settings/nodes" params={{ ws }}>
            A node
          </Link>{" "}
          that may still answer has not confirmed a change of {of.target.name || of.target.type}, <Time at={of.at} />.
        </>
      );
    case "rotation_ready":
      return (
        <>
          <Rotation ws={ws} of={of} /> of {owner} is ready: nobody uses the old key any more.
        </>
      );
    case "key_expiring_in_use":
      return (
        <>
          <KeyLink ws={ws} of={of} /> of {owner} expires <Time ahead at={of.at} /> and is in use.
        </>
      );
    case "member_key_machine_like":
      return (
        <>
          <Link to="/w/$ws/settings/api-keys/$key" params={{ ws, key: of.target.id }} search={{ of: "everyone" }}>
            {of.target.name}
          </Link>{" "}
          of {owner} is used as a machine would. A service account would outlive its person.{" "}
          <Link to="/w/$ws/settings/service-accounts/new" params={{ ws }} search={{ move: of.target.id }}>
            Move to a service account
          </Link>
        </>
      );
    case "account_too_powerful":
      return (
        <About ws={ws} of={of}>
          is an Admin and has changed no settings for 90 days.
        </About>
      );
    case "account_without_owner":
      return (
        <About ws={ws} of={of}>
          has no owner: nobody is named to ask about it.
        </About>
      );
    case "account_without_keys":
      return (
        <About ws={ws} of={of}>
          has no key that works.
        </About>
      );
  }
}

function About({ ws, of, children }: { ws: string; of: Item; children: ReactNode }) {
  return (
    <>
      <Link to="/w/$ws/settings/service-accounts/$sa" params={{ ws, sa: of.target.name }}>
        {of.target.name}
      </Link>{" "}
      {children}
    </>
  );
}

function KeyLink({ ws, of }: { ws: string; of: Item }) {
  return (
    <Link
      to="/w/$ws/settings/service-accounts/$sa/keys/$key"
      params={{ ws, sa: of.principal?.name ?? "", key: of.target.id }}
    >
      {of.target.name}
    </Link>
  );
}

function Rotation({ ws, of }: { ws: string; of: Item }) {
  return (
    <Link
      to="/w/$ws/settings/service-accounts/$sa/rotations/$rot"
      params={{ ws, sa: of.principal?.name ?? "", rot: of.target.id }}
    >
      The rotation{of.target.name && ` of ${of.target.name}`}
    </Link>
  );
}
