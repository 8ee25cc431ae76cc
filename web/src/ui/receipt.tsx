import { Check, CircleDashed, LoaderCircle } from "lucide-react";
import type { Schema } from "../api/client";
import { count } from "./numbers";

type Receipt = Schema["Receipt"];

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: "UTC" });

/** seconds writes what is left of a lease. */
function seconds(ms: number): string {
  return `${Math.max(1, Math.ceil(ms / 1000))} s`;
}

/** waitingFor says whom a change waits for. */
export function waitingFor(receipt: Receipt): string {
  return receipt.nodes.waiting
    .map(
      (n) =>
        `${n.name} (${n.lease_left_ms > 0 ? `its lease ends in ${seconds(n.lease_left_ms)}` : "its lease has no end"})`,
    )
    .join(", ");
}

/** Progress says how far a change has got. It says that it is done when it is, and
    not before. */
export function Progress({ receipt, doing, did }: { receipt: Receipt; doing: string; did: string }) {
  const { nodes } = receipt;
  if (!receipt.confirmed) {
    return (
      <div className="receipt" data-state="waiting" role="status">
        <LoaderCircle aria-hidden className="turning" />
        <div>
          <strong>
            {doing} on every node. {count(nodes.confirmed)} of {count(nodes.total)} confirmed.
          </strong>
          {nodes.waiting.length > 0 && <p>Waiting for {waitingFor(receipt)}.</p>}
          <p className="small dim">
            It is recorded and goes on by itself, also when this page is closed. Revision {count(receipt.revision)}.
          </p>
        </div>
      </div>
    );
  }
  return (
    <div className="receipt" data-state="confirmed" role="status">
      <Check aria-hidden />
      <div>
        <strong>
          {did} {clock.format(Date.parse(receipt.decided_at))} UTC.
        </strong>
        <p>
          {receipt.keys_stopped > 0 &&
            `${count(receipt.keys_stopped)} ${receipt.keys_stopped === 1 ? "key" : "keys"} stopped. `}
          {confirmation(receipt)} in {took(receipt.took_ms)}. Revision {count(receipt.revision)}.
        </p>
        <NotHeard receipt={receipt} />
      </div>
    </div>
  );
}

function confirmation(r: Receipt): string {
  const { nodes } = r;
  return nodes.total === 0 ? "Confirmed" : `Confirmed by ${count(nodes.confirmed)} of ${count(nodes.total)} nodes`;
}

/** took writes how long something took. */
export function took(ms: number): string {
  if (ms < 1) return "less than 1 ms";
  return ms < 1000 ? `${count(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** NotHeard names the nodes that said nothing, and why that is no danger, or is. */
function NotHeard({ receipt: { nodes } }: { receipt: Receipt }) {
  return (
    <>
      {nodes.expired.length > 0 && (
        <p className="small">
          <CircleDashed aria-hidden /> {nodes.expired.join(", ")} did not confirm; the lease ended, so nothing is
          accepted there.
        </p>
      )}
      {nodes.bounded.length > 0 && (
        <p className="small">
          <CircleDashed aria-hidden /> {nodes.bounded.join(", ")} did not confirm and may go on for the time that its
          settings allow.
        </p>
      )}
    </>
  );
}
