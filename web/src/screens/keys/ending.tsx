import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { type Receipt, receipt as receiptQuery } from "../../api/queries";
import { renew } from "../../api/renew";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { OutOfDate } from "../../ui/list";
import { Progress } from "../../ui/receipt";

const often = 300; // milliseconds between two looks at a receipt that is not confirmed

/** useReceipt follows a receipt until it is confirmed. */
export function useReceipt(ws: string, first: Receipt) {
  const queries = useQueryClient();
  const now = useQuery({
    ...receiptQuery(ws, first.id),
    enabled: !first.confirmed,
    refetchInterval: (q) => (q.state.data?.confirmed ? false : often),
  });
  const receipt = now.data ?? first;
  useEffect(() => {
    if (receipt.confirmed) renew(queries, [ws]);
  }, [receipt.confirmed, queries, ws]);
  return { receipt, error: receipt.confirmed ? null : now.error, refetch: now.refetch };
}

interface EndingProps {
  ws: string;
  receipt: Receipt;
  title: string;
  onClose: () => void;
  doing?: string;
  did?: string;
  children?: ReactNode;
}

/** Ending shows how something ends: on which nodes it has, whom it waits for, and at
    last its receipt. */
export function Ending({
  ws,
  receipt: first,
  title,
  onClose,
  doing = "Stopping",
  did = "Revoked",
  children,
}: EndingProps) {
  const { receipt, error, refetch } = useReceipt(ws, first);
  return (
    <Dialog title={title} onClose={onClose}>
      <Progress receipt={receipt} doing={doing} did={did} />
      {error ? <OutOfDate error={error} onRetry={() => void refetch()} /> : null}
      {children}
      <div className="row" data-end>
        <Button kind={receipt.confirmed ? "primary" : "default"} onClick={onClose} data-first>
          {receipt.confirmed ? "Done" : "Close"}
        </Button>
      </div>
    </Dialog>
  );
}
