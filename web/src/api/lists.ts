import { type InfiniteData, infiniteQueryOptions, keepPreviousData } from "@tanstack/react-query";

/** Listed is one page of a list, as the API answers it. */
export interface Listed<T> {
  data: T[];
  next_cursor: string | null;
}

type Fetch<T> = (cursor: string | undefined, signal: AbortSignal) => Promise<Listed<T>>;

/** listed are the pages of a list. What was shown stays until the next is there. */
export function listed<T>(key: readonly unknown[], fetch: Fetch<T>) {
  return infiniteQueryOptions({
    queryKey: key,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) => fetch(pageParam, signal),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
}

/** rowsOf are the rows of the pages that are there. */
export function rowsOf<T>(data: InfiniteData<Listed<T>, unknown> | undefined): T[] {
  return data?.pages.flatMap((p) => p.data) ?? [];
}

/** only keeps those fields that have one of some names: an address may hold others, of
    which the API has never heard. */
export function only<T extends object, const Name extends keyof T>(of: T, ...names: Name[]): Pick<T, Name> {
  return Object.fromEntries(names.filter((n) => n in of).map((n) => [n, of[n]])) as never;
}

/** present leaves out what is not there, which an address or the API would take for
    a value. */
export function present<T extends object>(of: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(of).filter(([, v]) => v !== undefined && v !== "")) as never;
}
