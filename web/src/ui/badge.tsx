import {
  Ban,
  CircleAlert,
  CircleCheck,
  CirclePause,
  Clock,
  Hourglass,
  Replace,
  TriangleAlert,
  UserMinus,
} from "lucide-react";
import type { ReactNode } from "react";
import { days } from "./time";

type Tone = "ok" | "warn" | "danger" | "off";

/** usual are the icons of those badges that say of nothing else which. */
const usual: Record<Tone, ReactNode> = {
  ok: <CircleCheck aria-hidden />,
  warn: <TriangleAlert aria-hidden />,
  danger: <CircleAlert aria-hidden />,
  off: null,
};

/** Badge is an icon, a word and a colour, which all say the same. */
export function Badge({ tone = "off", icon, children }: { tone?: Tone; icon?: ReactNode; children: ReactNode }) {
  return (
    <span className="badge" data-tone={tone}>
      {icon ?? usual[tone]}
      {children}
    </span>
  );
}

interface Stated {
  state: string;
  expires_at?: string | null | undefined;
  rotation?: string | null | undefined;
}

/** StateBadge says the state of an account, a key, a member or an invitation. */
export function StateBadge({ of, now }: { of: Stated; now: number }) {
  switch (of.state) {
    case "active": {
      const left = of.expires_at ? days(Date.parse(of.expires_at) - now) : undefined;
      if (of.rotation) {
        return (
          <Badge tone="warn" icon={<Replace aria-hidden />}>
            Retiring
          </Badge>
        );
      }
      if (left !== undefined && left <= 14) {
        return (
          <Badge tone="warn" icon={<Hourglass aria-hidden />}>
            {left < 1 ? "Expires today" : left === 1 ? "Expires in 1 day" : `Expires in ${left} days`}
          </Badge>
        );
      }
      return (
        <Badge tone="ok" icon={<CircleCheck aria-hidden />}>
          Active
        </Badge>
      );
    }
    case "paused":
      return (
        <Badge tone="warn" icon={<CirclePause aria-hidden />}>
          Paused
        </Badge>
      );
    case "expired":
      return <Badge icon={<Clock aria-hidden />}>Expired</Badge>;
    case "revoked":
      return (
        <Badge tone="danger" icon={<Ban aria-hidden />}>
          Revoked
        </Badge>
      );
    case "inactive":
      return <Badge icon={<Ban aria-hidden />}>Inactive</Badge>;
    case "removed":
      return <Badge icon={<UserMinus aria-hidden />}>Removed</Badge>;
  }
  return <Badge>{of.state.charAt(0).toUpperCase() + of.state.slice(1)}</Badge>;
}
