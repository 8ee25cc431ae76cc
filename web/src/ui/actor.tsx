import { Bot, CircleHelp, Cog, UserRound } from "lucide-react";

interface Who {
  type: string;
  name: string;
  state: string;
}

const icons: Record<string, typeof Bot> = { member: UserRound, service_account: Bot, system: Cog };
const kinds: Record<string, string> = { member: "Person", service_account: "Service account", system: "Postern" };

/** nameOf is what somebody is called in a sentence, and whether they are still there. */
export function nameOf(of: Pick<Who, "name" | "state">): string {
  const gone = of.state === "removed" ? " (removed)" : of.state === "inactive" ? " (inactive)" : "";
  return `${of.name || "Postern"}${gone}`;
}

/** Actor is who did something: what sort they are, their name, and whether they are
    still there. */
export function Actor({ of }: { of: Who }) {
  const Icon = icons[of.type] ?? CircleHelp;
  const name = of.name || (of.type === "system" ? "Postern" : "Unknown caller");
  return (
    <span className="actor">
      <Icon role="img" aria-label={kinds[of.type] ?? "Unknown"} />
      <span>
        {name}
        <Still state={of.state} />
      </span>
    </span>
  );
}

/** Still says of somebody who is named whether they are still there; of what has no
    state, nothing. */
export function Still({ state }: { state: string | undefined }) {
  if (state === "removed") return <span className="dim"> (removed)</span>;
  if (state === "inactive") return <span className="dim"> · Inactive</span>;
  if (state === "paused") return <span className="dim"> · Paused</span>;
  return null;
}
