import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, Circle } from "lucide-react";
import { useAllowed } from "../../api/me";
import { allows } from "../../api/permissions";
import { type Key, key, type Role, type ServiceAccount } from "../../api/queries";
import { Panel } from "../../ui/page";
import { Time } from "../../ui/time";

const place = "moved_from"; // of the metadata of an account: the id of a person's key

/** inThePlaceOf is what an account remembers of the key that it takes the place of. */
export function inThePlaceOf(of: Pick<Key, "id">): Record<string, string> {
  return { [place]: of.id };
}

/** movedFrom is the id of the key that an account takes the place of. */
export function movedFrom(of: Pick<ServiceAccount, "metadata">): string | undefined {
  const id = (of.metadata as Record<string, unknown> | null)?.[place];
  return typeof id === "string" && /^key_[0-9a-z]+$/.test(id) ? id : undefined;
}

/** nameFrom makes the name of an account out of that of a key. */
export function nameFrom(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);
}

const least = ["viewer", "operator", "editor"]; // of what is built in, by how much it allows

/** lesserRole is the least role that allows all that a key can do; where that is an
    Admin's, or none, it is the one that is recommended. */
export function lesserRole(all: readonly Role[], effective: readonly string[]): string {
  const enough = (r: Role) => effective.every((p) => allows(r.permissions, p));
  const built = least.flatMap((name) => all.find((r) => r.name === name) ?? []);
  const custom = all.filter((r) => r.kind === "custom").sort((a, b) => a.permissions.length - b.permissions.length);
  return [...built.slice(0, 2), ...custom, ...built.slice(2)].find(enough)?.name ?? "operator";
}

const follow = 2_000; // milliseconds between two looks at how the old key is used

/** useMoved is the key that an account takes the place of, while that still works; null:
    there is none; undefined: that is not known yet. */
export function useMoved(ws: string, a: ServiceAccount | undefined): Key | null | undefined {
  const id = a && movedFrom(a);
  const found = useQuery({
    ...key(ws, id ?? ""),
    enabled: useAllowed()("iam.keys:read") && id !== undefined,
    refetchInterval: follow,
  });
  const { data } = found;
  if (!a || found.isLoading) return undefined;
  return id && data && data.state !== "revoked" && data.state !== "expired" ? data : null;
}

/** Moving says how far an account has taken the place of a person's key. */
export function Moving({ ws, account: a }: { ws: string; account: ServiceAccount }) {
  const from = useMoved(ws, a);
  if (!from || a.state === "inactive") return null;
  const used = Boolean(a.last_used);
  const quiet = used && from.last_used && Date.parse(from.last_used.at) < Date.parse(a.last_used?.at ?? "");
  return (
    <div className="banner">
      <Panel>
        <h2>
          Takes the place of {from.name}, a key of {from.principal.name}
        </h2>
        <ul className="lines">
          <Step done={a.keys.active > 0} name="Make a key of this account" />
          <Step done={used} name="Deploy it where the old key is used" />
          <li>
            <span className="actor">
              <Mark done={false} />
              <span>
                Revoke {from.name}. It was last used <Time at={from.last_used?.at} none="never" />
                {from.last_used?.source.ip && ` from ${from.last_used.source.ip}`}
                {quiet && ", and not since this account's key is in use"}.
              </span>
            </span>
            <Link to="/w/$ws/settings/api-keys/$key" params={{ ws, key: from.id }} search={{ of: "everyone" }}>
              See {from.name}
            </Link>
          </li>
        </ul>
      </Panel>
    </div>
  );
}

function Step({ done, name }: { done: boolean; name: string }) {
  return (
    <li>
      <span className="actor" data-done={done || undefined}>
        <Mark done={done} />
        {name}
      </span>
    </li>
  );
}

function Mark({ done }: { done: boolean }) {
  return done ? <Check role="img" aria-label="Done" /> : <Circle role="img" aria-label="Not yet" />;
}
