import { useSyncExternalStore } from "react";

/** A value that parts of the page share and are told of when it changes. */
function shared<T>(first: T) {
  let value = first;
  const told = new Set<() => void>();
  const subscribe = (tell: () => void) => {
    told.add(tell);
    return () => told.delete(tell);
  };
  return {
    get: () => value,
    set: (next: T) => {
      if (Object.is(next, value)) return;
      value = next;
      for (const tell of told) tell();
    },
    use: () => useSyncExternalStore(subscribe, () => value),
  };
}

/** stale is whether the node that answers has said that it refuses everything. */
export const stale = shared(false);

/** said is what screen readers are told of what changed by itself. */
export const said = shared("");

const quiet = 5_000; // milliseconds between two announcements, at least
let last = 0;

/** announce tells screen readers of something, unless they were told a moment ago. */
export function announce(text: string, now = Date.now()) {
  if (now - last < quiet) return;
  last = now;
  said.set(text);
}
