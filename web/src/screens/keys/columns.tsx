import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { type Key, usage } from "../../api/queries";
import { nameOf } from "../../ui/actor";
import { StateBadge } from "../../ui/badge";
import { Traffic } from "../../ui/bars";
import type { Column } from "../../ui/list";
import { Time, useNow } from "../../ui/time";

interface Options {
  link: (k: Key) => ReactNode;
  /** Whether the list has keys of several principals. */
  owners?: boolean;
}

/** useKeyColumns are what a list says of keys. */
export function useKeyColumns(ws: string, shown: Key[], { link, owners }: Options): Column<Key>[] {
  const now = useNow(60_000);
  const traffic = useQuery(usage(ws, { keys: shown.map((k) => k.id) }, "1d", 30));
  return [
    {
      name: "Name",
      kind: "main",
      cell: (k) => (
        <>
          {link(k)}
          <p className="dim small">
            by {nameOf(k.created_by)}, <Time at={k.created_at} />
          </p>
        </>
      ),
    },
    ...(owners ? [{ name: "Owner", cell: (k: Key) => k.principal.name }] : []),
    { name: "Value", cell: (k) => <code>{k.hint}</code> },
    {
      name: "Traffic 30 d",
      cell: (k) => (
        <Traffic of={traffic.data?.find((t) => t.id === k.id)} step="1d" label={`Traffic of ${k.name} in 30 days`} />
      ),
    },
    {
      name: "Last used",
      cell: (k) => (
        <div>
          <Time at={k.last_used?.at} />
          {k.last_used?.source.ip && <p className="dim small">{k.last_used.source.ip}</p>}
        </div>
      ),
    },
    { name: "Expires", cell: (k) => <Time ahead at={k.expires_at} /> },
    { name: "State", cell: (k) => <StateBadge of={{ ...k, rotation: k.replaces ? null : k.rotation }} now={now} /> },
  ];
}
