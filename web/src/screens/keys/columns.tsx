import type { ReactNode } from "react";
import type { Key } from "../../api/queries";
import { StateBadge } from "../../ui/badge";
import type { Column } from "../../ui/list";
import { Time, useNow } from "../../ui/time";

interface Options {
  link: (k: Key) => ReactNode;
  /** Whether the list has keys of several principals. */
  owners?: boolean;
}

/** useKeyColumns are what a list says of keys. */
export function useKeyColumns({ link, owners }: Options): Column<Key>[] {
  const now = useNow(60_000);
  return [
    {
      name: "Name",
      kind: "main",
      cell: (k) => (
        <>
          {link(k)}
          <p className="dim small">
            by {k.created_by.name || "Postern"}, <Time at={k.created_at} />
          </p>
        </>
      ),
    },
    ...(owners ? [{ name: "Owner", cell: (k: Key) => k.principal.name }] : []),
    { name: "Value", cell: (k) => <code>{k.hint}</code> },
    {
      name: "Last used",
      cell: (k) => (
        <div>
          <Time at={k.last_used?.at} />
          {k.last_used?.source.ip && <p className="dim small">{k.last_used.source.ip}</p>}
        </div>
      ),
    },
    { name: "Expires", cell: (k) => <Time at={k.expires_at} /> },
    { name: "State", cell: (k) => <StateBadge of={k} now={now} /> },
  ];
}
