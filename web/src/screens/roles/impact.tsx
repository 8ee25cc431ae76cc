import { useQuery } from "@tanstack/react-query";
import { useDeferredValue } from "react";
import { type Role, roleImpact } from "../../api/queries";
import { Note } from "../../ui/note";
import { count, many } from "../../ui/numbers";
import { Time } from "../../ui/time";

/** Impact says before a role is saved whom it touches, and who uses what is taken. */
export function Impact({ ws, of: r, permissions }: { ws: string; of: Role; permissions: string[] }) {
  const wanted = useDeferredValue(permissions);
  const same = JSON.stringify([...wanted].sort()) === JSON.stringify([...r.permissions].sort());
  const found = useQuery({ ...roleImpact(ws, r.id, wanted), enabled: !same });
  if (same || !found.data) return null;
  const i = found.data;
  const users = i.affected.length;
  return (
    <div role="status">
      <Note tone={users > 0 ? "danger" : i.removed.length > 0 ? "warn" : "info"}>
        <strong>
          {many(i.service_accounts, "service account")} and {many(i.members, "person", "people")} have this role.
        </strong>
        {i.added.length > 0 && <p>They would be allowed more: {i.added.join(", ")}.</p>}
        {i.removed.length > 0 && <p>They would no longer be allowed: {i.removed.join(", ")}.</p>}
        {users > 0 && (
          <>
            <p>
              {i.at_most ? "At most " : ""}
              {count(i.would_refuse)} of the last {count(i.of)} requests would have been refused, of:
            </p>
            <ul>
              {i.affected.map((a) => (
                <li key={a.principal.id}>
                  <strong>{a.principal.name}</strong> uses {a.permissions.join(", ")}, <Time at={a.last_used_at} />
                </li>
              ))}
            </ul>
          </>
        )}
        {users === 0 && i.removed.length > 0 && <p>Nobody used what is taken, in {many(i.window_days, "day")}.</p>}
        {i.hidden.map((h) => (
          <p key={h.part}>
            {h.part} is left out: to see it takes {h.permission}.
          </p>
        ))}
      </Note>
    </div>
  );
}
