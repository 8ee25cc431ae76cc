import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { Check, CircleDashed, LoaderCircle } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { createAccount, createKey, revokeAccount, revokeKey, useChange, verifyWith } from "../../api/changes";
import { type Node, nodes, type Receipt, serversOf } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { OutOfDate } from "../../ui/list";
import { Note } from "../../ui/note";
import { Progress } from "../../ui/receipt";
import { Summary } from "../../ui/summary";
import { useReceipt } from "../keys/ending";

/** drillName is a name that no other drill has. */
export function drillName(random: Uint8Array = crypto.getRandomValues(new Uint8Array(5))): string {
  return `drill-${[...random].map((b) => b.toString(16).padStart(2, "0")).join("")}`;
}

/** Run is what a drill has done. The values of its keys are kept until the one that was
    revoked has been tried again, and shown nowhere. */
interface Run {
  account: string;
  doomed: string;
  checker: string;
  nodes: Node[];
  receipt: Receipt;
}

/** attempt is the header of a change that is sent once. */
const attempt = () => ({ "Idempotency-Key": crypto.randomUUID() });

/** run makes an account with two keys that can do next to nothing, has one of them check
    the other, and revokes that. Whatever goes wrong, what was made is not left behind. */
async function run(ws: string, before: Node[]): Promise<Run> {
  const account = drillName();
  const description = "Made by a revocation drill, and revoked by it";
  await createAccount(ws)({ name: account, role: "verifier", description }, attempt());
  try {
    const make = createKey(ws, account);
    const doomed = await make({ name: "drill", expires_in: "1h" }, attempt());
    const checker = await make({ name: "check", expires_in: "1h" }, attempt());
    const verdict = await verifyWith(checker.value, doomed.value);
    if (!verdict.valid) throw new Error(`the new key was refused: ${verdict.code}`);
    const { receipt } = await revokeKey(ws, doomed.id)({ reason: "other", note: "drill" }, attempt());
    return { account, doomed: doomed.value, checker: checker.value, nodes: before, receipt };
  } catch (error) {
    await end(ws, account);
    throw error;
  }
}

/** end revokes what a drill made. */
function end(ws: string, account: string): Promise<unknown> {
  return revokeAccount(ws, account)({ reason: "drill" }, attempt()).catch(() => undefined);
}

/** Drill is the dialog that revokes a key nobody needs, and shows what every node says
    to it. */
export function Drill() {
  const { ws } = useParams({ from: "/w/$ws/settings/nodes/drill" });
  const navigate = useNavigate();
  const close = () => navigate({ to: "/w/$ws/settings/nodes", params: { ws } });
  const all = useQuery(nodes(ws));
  const drill = useChange(ws, (_: undefined) => run(ws, serversOf(all.data ?? [])));
  if (drill.done) return <Watch ws={ws} run={drill.done} onClose={close} />;
  return (
    <Dialog title="Revocation drill" onClose={close}>
      <p>
        It makes a service account with a key that can do next to nothing, uses the key, revokes it, and tries it again.
        You see when each node has confirmed that it accepts the key no more.
      </p>
      <Note>
        The account is called <code>drill-…</code>. It is revoked too, and stays in the list and in the audit log,
        inactive.
      </Note>
      <Summary problem={drill.problem} />
      <div className="row" data-end>
        <Button onClick={close}>Cancel</Button>
        <Button kind="primary" busy={drill.busy || all.isPending} onClick={() => drill.send(undefined)} data-first>
          Start the drill
        </Button>
      </div>
    </Dialog>
  );
}

function Watch({ ws, run, onClose }: { ws: string; run: Run; onClose: () => void }) {
  const { receipt, error, refetch } = useReceipt(ws, run.receipt);
  const after = useTriedAgain(ws, run, receipt.confirmed);
  const close = () => {
    if (!receipt.confirmed) void end(ws, run.account); // nobody waits to try the key again
    onClose();
  };
  return (
    <Dialog title="Revocation drill" onClose={close}>
      <ul className="lines" aria-label="What each node says">
        {run.nodes.map((n) => (
          <NodeLine key={n.id} of={n} receipt={receipt} />
        ))}
      </ul>
      <Progress receipt={receipt} doing="Stopping" did="Revoked" />
      {error ? <OutOfDate error={error} onRetry={() => void refetch()} /> : null}
      {after !== undefined && (
        <div role="status">
          <Note tone={after ? "danger" : "ok"}>
            {after
              ? "The key is still accepted. Tell whoever runs this deployment at once."
              : "The key worked before, and is refused now."}
          </Note>
        </div>
      )}
      <div className="row" data-end>
        <Button kind={receipt.confirmed ? "primary" : "default"} onClick={close} data-first>
          {receipt.confirmed ? "Done" : "Close"}
        </Button>
      </div>
    </Dialog>
  );
}

/** useTriedAgain tries the key once its end is confirmed, ends what the drill made, and
    says whether the key is still accepted; undefined: that is not known. */
function useTriedAgain(ws: string, run: Run, confirmed: boolean): boolean | undefined {
  const [accepted, set] = useState<boolean>();
  const asked = useRef(false);
  useEffect(() => {
    if (!confirmed || asked.current) return;
    asked.current = true;
    void verifyWith(run.checker, run.doomed)
      .then((verdict) => set(verdict.valid))
      .catch(() => undefined)
      .finally(() => end(ws, run.account));
  }, [ws, run, confirmed]);
  return accepted;
}

/** outcome is what one node has made of a change, as its receipt says. */
export function outcome(of: Pick<Node, "name">, r: Pick<Receipt, "confirmed" | "nodes">): string {
  if (r.nodes.waiting.some((w) => w.name === of.name)) return "Has not confirmed yet";
  if (r.nodes.expired.includes(of.name)) return "Did not confirm; its lease ended";
  if (r.nodes.bounded.includes(of.name)) return "Did not confirm; it may go on for a while";
  return "Confirmed";
}

function NodeLine({ of, receipt }: { of: Node; receipt: Receipt }) {
  const words = outcome(of, receipt);
  const Icon = words === "Confirmed" ? Check : words.startsWith("Has not") ? LoaderCircle : CircleDashed;
  return (
    <li>
      <span className="actor" data-done={words === "Confirmed" || undefined}>
        <Icon aria-hidden />
        <span className="strong">{of.name}</span>
      </span>
      <span>{words}</span>
    </li>
  );
}
