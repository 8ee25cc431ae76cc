import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { rowsOf } from "../../api/lists";
import { type AuditFilters, auditEvents } from "../../api/queries";

/** useAuditLog is the audit log as it is, or as it was when it was told to stand still.

    What stands still is never asked for: it is what was shown, while the live list is kept
    true behind it. What that one holds above the newest row at rest is new. So it does not
    matter whether an event is heard of before an answer or after it: it is counted once,
    and with filters only if they let it through, which the server has decided. */
export function useAuditLog(ws: string, filters: AuditFilters, still: boolean) {
  const queries = useQueryClient();
  const live = useInfiniteQuery(auditEvents(ws, filters));
  const place = auditEvents(ws, filters, true);
  const rest = useInfiniteQuery({ ...place, enabled: false, placeholderData: () => undefined, gcTime: 0 });
  // What was kept from an earlier visit is not what is to stand still, if it is being asked for anew.
  const arrived = live.data && !live.isPlaceholderData && (live.isFetchedAfterMount || !live.isFetching);
  const take = () => void queries.setQueryData(place.queryKey, live.data);
  useEffect(() => {
    if (still && arrived && !rest.data) take();
    if (!still && rest.data) void queries.resetQueries({ queryKey: place.queryKey, exact: true });
  });
  if (!still || !rest.data) return { list: live, rows: rowsOf(live.data) };
  const [rows, all] = [rowsOf(rest.data), rowsOf(live.data)];
  const newest = rows[0]?.seq ?? 0;
  const count = all.filter((e) => e.seq > newest).length;
  return {
    list: {
      isPending: false,
      error: rest.error ?? live.error,
      refetch: rest.error ? rest.fetchNextPage : live.refetch, // of what failed: its last pages, or what is new
      hasNextPage: rest.hasNextPage,
      isFetchingNextPage: rest.isFetchingNextPage,
      fetchNextPage: rest.fetchNextPage,
    },
    rows,
    /** What came since, and whether there is more of it than was read. */
    news: { count, more: count > 0 && count === all.length && live.hasNextPage, show: take },
  };
}
