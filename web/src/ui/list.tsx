import { ArrowDown, ArrowUp } from "lucide-react";
import type { ReactNode } from "react";
import { problemOf } from "../api/problem";
import { Button } from "./button";
import { Note } from "./note";
import { Failure } from "./states";

/** Column is one thing that a list says of each of its rows. */
export interface Column<T> {
  name: string;
  cell: (row: T) => ReactNode;
  /** main is what a row is called; actions are what can be done with it. */
  kind?: "main" | "number" | "actions";
  /** What the API calls the order by it; a list is sorted by those columns that say. */
  sort?: string;
}

/** Sorting is how a list is sorted: by what, with a - before it for descending. */
export interface Sorting {
  by: string;
  onChange: (by: string) => void;
}

/** Asked is what a list needs to know of the query that it shows. */
interface Asked {
  isPending: boolean;
  isPlaceholderData?: boolean;
  error: unknown;
  refetch: () => unknown;
  hasNextPage?: boolean;
  isFetchingNextPage?: boolean;
  fetchNextPage?: () => unknown;
}

interface ListProps<T extends { id: string }> {
  label: string;
  query: Asked;
  rows: T[];
  columns: Column<T>[];
  /** What stands there when there is nothing. */
  empty: ReactNode;
  /** How many lines a row has, for what stands there meanwhile. */
  lines?: 1 | 2;
  /** Rows that matter less, such as revoked keys. */
  faded?: (row: T) => boolean;
  sorting?: Sorting;
}

/** List is a table with all its states: on its way, empty, refused, out of date. */
export function List<T extends { id: string }>(props: ListProps<T>) {
  const { label, query, rows, columns, empty, lines, faded, sorting } = props;
  if (query.error && rows.length === 0) {
    return (
      <div className="table-wrap">
        <Failure problem={problemOf(query.error)} onRetry={() => void query.refetch()} />
      </div>
    );
  }
  if (!query.isPending && rows.length === 0) {
    return <div className="table-wrap">{empty}</div>;
  }
  return (
    <>
      {query.error ? <OutOfDate error={query.error} onRetry={() => void query.refetch()} /> : null}
      <div className="table-wrap">
        <table aria-label={label} aria-busy={query.isPending || query.isPlaceholderData || undefined}>
          <thead>
            <tr>
              {columns.map((c) => (
                <th
                  key={c.name}
                  scope="col"
                  data-kind={c.kind}
                  aria-sort={c.sort && sorting ? order(sorting.by, c.sort) : undefined}
                >
                  {c.sort && sorting ? (
                    <SortButton name={c.name} sort={c.sort} sorting={sorting} />
                  ) : (
                    <span className={c.kind === "actions" ? "hidden-text" : undefined}>{c.name}</span>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {query.isPending ? (
              <Skeletons columns={columns.length} lines={lines ?? 2} />
            ) : (
              rows.map((row) => (
                <tr key={row.id} data-faded={faded?.(row) || undefined}>
                  {columns.map((c) => (
                    <td
                      key={c.name}
                      data-kind={c.kind}
                      data-label={c.kind === "main" || c.kind === "actions" ? undefined : c.name}
                    >
                      {c.cell(row)}
                    </td>
                  ))}
                </tr>
              ))
            )}
          </tbody>
        </table>
        {query.hasNextPage && (
          <div className="table-foot">
            <Button busy={query.isFetchingNextPage ?? false} onClick={() => void query.fetchNextPage?.()}>
              Show more
            </Button>
          </div>
        )}
      </div>
    </>
  );
}

/** order is how a list is sorted by one of its columns. */
function order(by: string, sort: string): "ascending" | "descending" | "none" {
  if (by === sort) return "ascending";
  return by === `-${sort}` ? "descending" : "none";
}

/** SortButton sorts by a column, and the other way round when it is pressed again. */
function SortButton({ name, sort, sorting: { by, onChange } }: { name: string; sort: string; sorting: Sorting }) {
  const now = order(by, sort);
  return (
    <button
      type="button"
      className="sort"
      data-order={now}
      onClick={() => onChange(now === "ascending" ? `-${sort}` : sort)}
    >
      {name}
      {now === "descending" ? <ArrowDown aria-hidden /> : <ArrowUp aria-hidden />}
    </button>
  );
}

/** OutOfDate says that what is shown could not be asked for again. */
export function OutOfDate({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const problem = problemOf(error);
  return (
    <div className="banner" role="status">
      <Note tone="warn">
        <strong>This may be out of date.</strong> {problem.title}. <TextButton onClick={onRetry}>Try again</TextButton>
      </Note>
    </div>
  );
}

/** TextButton acts from within a sentence. */
export function TextButton({ onClick, children }: { onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className="text-button" onClick={onClick}>
      {children}
    </button>
  );
}

function Skeletons({ columns, lines }: { columns: number; lines: number }) {
  return Array.from({ length: 5 }, (_, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
    <tr key={row} aria-hidden>
      {Array.from({ length: columns }, (_, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
        <td key={column} data-kind={column === 0 ? "main" : undefined}>
          <span className="skeleton" data-lines={column === 0 ? lines : 1} />
        </td>
      ))}
    </tr>
  ));
}
