import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { renew } from "./renew";

it("asks again after an answer that is on its way, which it does not break off", async () => {
  const queries = new QueryClient();
  const asked: { answer: (n: number) => void; signal: AbortSignal }[] = [];
  const seen = new QueryObserver(queries, {
    queryKey: ["acme", "keys"],
    queryFn: ({ signal }) => new Promise<number>((answer) => asked.push({ answer, signal })),
  });
  const stop = seen.subscribe(() => undefined);
  for (const n of [1, 2, 3]) {
    for (let change = 0; change < 3; change++) renew(queries, ["acme"]);
    expect(asked.length).toBe(n);
    expect(asked[n - 1]?.signal.aborted).toBe(false);
    asked[n - 1]?.answer(n);
    await vi.waitFor(() => expect(asked.length).toBe(n + 1));
    expect(seen.getCurrentResult().data).toBe(n);
  }
  asked[3]?.answer(4);
  await vi.waitFor(() => expect(queries.isFetching()).toBe(0));
  expect([asked.length, seen.getCurrentResult().data]).toEqual([4, 4]);
  stop();
});
