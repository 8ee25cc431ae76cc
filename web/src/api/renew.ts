import type { QueryClient, QueryKey } from "@tanstack/react-query";

/** renew asks again for what is shown of all that a key begins, because it has changed. An
    answer that is on its way may still be of before. It is waited for, and then asked for
    once more: broken off, it would never come while changes come faster than answers. */
export function renew(queries: QueryClient, queryKey: QueryKey) {
  const ask = (of: { queryKey: QueryKey; exact?: boolean }) => queries.invalidateQueries(of, { cancelRefetch: false });
  for (const underway of queries.getQueryCache().findAll({ queryKey, fetchStatus: "fetching" })) {
    const it = { queryKey: underway.queryKey, exact: true };
    void ask(it).then(() => ask(it));
  }
  void ask({ queryKey });
}
