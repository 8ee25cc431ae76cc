import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createConsole } from "../../router";
import { Tips } from "../../ui/tip";
import { Toasts } from "../../ui/toast";

// The client takes the page's fetch when it is made, before anything here runs.
const network = vi.hoisted(() => {
  const own: { fetch: (request: Request) => Promise<Response> } = {
    fetch: () => Promise.reject(new Error("too early")),
  };
  globalThis.fetch = (request) => own.fetch(request as Request);
  return own;
});

vi.setConfig({ testTimeout: 60_000 });

// The audit log at rest, whichever way what is heard and what is answered cross: it shows
// what it showed, and counts what came after that, once.

const workspace = { id: "ws_1", slug: "acme", name: "Acme" };
const me = {
  principal: { id: "mem_1", type: "member", name: "maya", workspace },
  permissions: ["*:*", "iam.*:*"],
  role: { id: "owner", name: "owner" },
};

const event = (seq: number, outcome = "done") => ({
  id: `evt_${seq}`,
  seq,
  at: "2026-11-23T03:00:00.000000Z",
  action: `event.${seq}`,
  actor: { type: "member", id: "mem_1", name: "maya", state: "active" },
  key: null,
  target: { type: "key", id: "key_1", name: "prod" },
  outcome,
  reason: "",
  source: { ip: "", user_agent: "", node: "" },
  request_id: "",
  before: null,
  after: null,
});

const perPage = 3;
let log: ReturnType<typeof event>[]; // the newest first
let stream: EventTarget | undefined;
let root: Root;
let queries: QueryClient;

/** onTheirWay are the answers with events that are held back: what each may do about it. */
let onTheirWay: { fromNow: () => void; fromThen: () => void }[] | undefined;
let asked: number;

const json = (body: unknown) => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });

/** events answers with a page of the log as it is at this moment. */
function events({ searchParams }: URL): object {
  const [cursor, outcome] = [
    Number(searchParams.get("cursor") ?? Number.POSITIVE_INFINITY),
    searchParams.get("outcome"),
  ];
  const all = log.filter((e) => e.seq < cursor && (!outcome || e.outcome === outcome));
  const data = all.slice(0, perPage);
  return { data, has_more: all.length > perPage, next_cursor: all.length > perPage ? String(data.at(-1)?.seq) : null };
}

async function fetched(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.endsWith("/whoami")) return json(me);
  if (url.pathname.endsWith("/workspaces/acme")) return json(workspace);
  if (!url.pathname.endsWith("/audit_events")) return json({ data: [], has_more: false, next_cursor: null });
  asked++;
  if (!onTheirWay) return json(events(url));
  const then = events(url);
  const held = onTheirWay;
  return new Promise((done) => {
    held.push({ fromNow: () => done(json(events(url))), fromThen: () => done(json(then)) });
  });
}

const settle = (check: () => void) => vi.waitFor(() => act(check), { timeout: 30_000, interval: 20 });
const rows = () => [...document.querySelectorAll(".row-link")].map((e) => Number(e.textContent?.replace("event.", "")));
const says = () => document.querySelector(".banner")?.textContent ?? "";
const still = "The list stands still. What happens meanwhile is counted here.";
const click = (name: string) =>
  act(async () => [...document.querySelectorAll<HTMLElement>("button")].find((b) => b.textContent === name)?.click());
const turnLive = () => act(async () => document.querySelector<HTMLElement>("[role=switch]")?.click());

/** happen has something happen; hear has the stream tell of it. */
const happen = (outcome?: string) => log.unshift(event((log[0]?.seq ?? 0) + 1, outcome));
const tell = (name: string, of: unknown) =>
  act(async () => stream?.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(of) })));
const hear = () => tell("audit", log[0]);
const hold = () => {
  onTheirWay = [];
};

/** answered lets go of what was held back; each answer is of when it was asked for, or of
    now. What is asked for after it is answered at once, or held back too. */
async function answered(of: "fromNow" | "fromThen", after?: "held") {
  const held = onTheirWay ?? [];
  onTheirWay = after && [];
  await act(async () => {
    for (const answer of held) answer[of]();
  });
}

async function open(search = "") {
  history.replaceState({}, "", `/w/acme/audit${search}`);
  queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: 5_000 } } });
  root = createRoot(document.body.appendChild(document.createElement("div")));
  await act(async () =>
    root.render(
      <QueryClientProvider client={queries}>
        <Tips>
          <Toasts>
            <RouterProvider router={createConsole(queries)} />
          </Toasts>
        </Tips>
      </QueryClientProvider>,
    ),
  );
  await settle(() => expect(stream).toBeDefined());
}

beforeEach(() => {
  log = [event(2), event(1)];
  [asked, stream] = [0, undefined];
  onTheirWay = undefined;
  network.fetch = fetched;
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal(
    "EventSource",
    class extends EventTarget {
      constructor() {
        super();
        stream = this;
      }
      close() {}
    },
  );
});

afterEach(async () => {
  await act(async () => root.unmount());
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

it.each(["fromThen", "fromNow"] as const)(
  "counts once what is heard as it comes to rest, answers being %s",
  async (of) => {
    await open();
    await settle(() => expect(rows()).toEqual([2, 1]));
    hold();
    await turnLive();
    await settle(() => expect(says()).toBe(still));
    happen();
    await hear();
    await answered(of);
    await settle(() => expect(says()).toBe("1 new event. Show it"));
    expect(rows()).toEqual([2, 1]);
    await click("Show it");
    await settle(() => expect(rows()).toEqual([3, 2, 1]));
    expect(says()).toBe(still);
  },
);

it("shows at rest what an answer that was on its way could not know of, and only when asked", async () => {
  await open();
  await settle(() => expect(rows()).toEqual([2, 1]));
  happen();
  hold();
  await hear();
  await settle(() => expect(onTheirWay?.length).toBe(1)); // it is asked for, of before the next
  happen();
  await hear();
  await turnLive();
  await settle(() => expect(says()).toBe(still));
  await answered("fromThen");
  await settle(() => expect(says()).toBe("2 new events. Show them"));
  expect(rows()).toEqual([2, 1]);
  await click("Show them");
  await settle(() => expect(rows()).toEqual([4, 3, 2]));
});

it.each(["fromThen", "fromNow"] as const)("is right when it is opened at rest, and answered %s", async (of) => {
  hold();
  await open("?live=off");
  await settle(() => expect(onTheirWay?.length).toBe(1));
  expect(says()).toBe(""); // nothing stands still before it is there
  happen();
  await hear();
  const asking = queries.getQueryCache().find({ queryKey: ["acme", "audit"], exact: false });
  await settle(() => expect(asking?.state.isInvalidated).toBe(true)); // what was heard has come this far
  await answered(of, "held");
  const shown = of === "fromThen" ? [2, 1] : [3, 2, 1];
  await settle(() => expect(says()).toBe(still));
  expect(rows()).toEqual(shown);
  await settle(() => expect(onTheirWay?.length).toBe(1)); // the first answer may have been of before
  await answered("fromNow");
  await settle(() => expect(queries.isFetching({ queryKey: ["acme", "audit"] })).toBe(0));
  await settle(() => expect(says()).toBe(of === "fromThen" ? "1 new event. Show it" : still));
  expect(rows()).toEqual(shown);
});

it("counts with filters what they let through", async () => {
  await open("?outcome=refused");
  await settle(() => expect(asked).toBe(1));
  await turnLive();
  await settle(() => expect(says()).toBe(still));
  happen("done");
  await hear();
  await settle(() => expect(asked).toBe(2));
  expect(says()).toBe(still);
  happen("refused");
  await hear();
  await settle(() => expect(says()).toBe("1 new event. Show it"));
  await click("Show it");
  await settle(() => expect(rows()).toEqual([4]));
});

it("goes further back at rest, and does not move when all is read anew", async () => {
  log = [5, 4, 3, 2, 1].map((n) => event(n));
  await open();
  await settle(() => expect(rows()).toEqual([5, 4, 3]));
  await turnLive();
  await settle(() => expect(says()).toBe(still));
  for (let n = 0; n < 3; n++) happen();
  await tell("reset", { reason: "too_old" });
  await settle(() => expect(says()).toBe("At least 3 new events. Show them"));
  await click("Show more");
  await settle(() => expect(rows()).toEqual([5, 4, 3, 2, 1]));
  await turnLive();
  await settle(() => expect(rows()).toEqual([8, 7, 6]));
  expect(says()).toBe("");
  await turnLive();
  await settle(() => expect(says()).toBe(still));
  expect(rows()).toEqual([8, 7, 6]);
});

it("hears of what happened before the stream was open", async () => {
  await open();
  await settle(() => expect(rows()).toEqual([2, 1]));
  happen();
  await act(async () => stream?.dispatchEvent(new Event("open")));
  await settle(() => expect(rows()).toEqual([3, 2, 1]));
});
