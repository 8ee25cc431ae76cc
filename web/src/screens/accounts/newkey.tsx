import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { createKey, useChange } from "../../api/changes";
import { rowsOf } from "../../api/lists";
import { policyFor } from "../../api/policy";
import { accountKeys, workspace } from "../../api/queries";
import { Dialog } from "../../ui/dialog";
import { KeyForm, nameOf } from "../keys/form";
import { Once } from "../keys/once";
import { useAccount } from "./account";
import { useMoved } from "./move";

/** NewAccountKey is the dialog that makes a key of an account, and then shows its
    value once. */
export function NewAccountKey() {
  const { ws, sa, of } = useAccount();
  const moved = useMoved(ws, of);
  const navigate = useNavigate();
  const here = useQuery(workspace(ws));
  const keys = useInfiniteQuery(accountKeys(ws, sa));
  const [made, setMade] = useState<{ value: string; name: string }>();
  const change = useChange(ws, createKey(ws, sa), ({ value, name }) => setMade({ value, name }));
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  const done = () => {
    setMade(undefined);
    change.reset();
    // The value is gone from the page before the address changes.
    setTimeout(() => void close());
  };
  if (made) {
    return <Once title="Copy the value once" value={made.value} name={made.name} onDone={done} />;
  }
  if (here.isPending || keys.isPending || moved === undefined) return null; // which the form begins with
  return (
    <Dialog title="New key" description={`A key of ${sa}. Its value is shown once.`} onClose={close}>
      <KeyForm
        name={nameOf(
          "prod",
          new Date(),
          rowsOf(keys.data).map((k) => k.name),
        )}
        policy={policyFor("account", here.data?.policy)}
        limit={moved?.limit ?? []}
        networks={moved?.allowed_networks ?? []}
        problem={change.problem}
        busy={change.busy}
        onSubmit={change.send}
        onCancel={close}
      />
    </Dialog>
  );
}
