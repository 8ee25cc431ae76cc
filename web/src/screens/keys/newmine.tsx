import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { createMyKey, useChange } from "../../api/changes";
import { rowsOf } from "../../api/lists";
import { policyFor } from "../../api/policy";
import { myKeys, workspace } from "../../api/queries";
import { Dialog } from "../../ui/dialog";
import { KeyForm, nameOf } from "./form";
import { Once } from "./once";

/** NewAPIKey is the dialog that makes a personal key, and then shows its value once. */
export function NewAPIKey() {
  const { ws } = useParams({ from: "/w/$ws/settings/api-keys/new" });
  const navigate = useNavigate();
  const here = useQuery(workspace(ws));
  const mine = useInfiniteQuery(myKeys(ws));
  const [made, setMade] = useState<{ value: string; name: string }>();
  const change = useChange(ws, createMyKey(ws), ({ value, name }) => setMade({ value, name }));
  const close = () => navigate({ to: "/w/$ws/settings/api-keys", params: { ws } });
  const done = () => {
    setMade(undefined);
    change.reset();
    setTimeout(() => void close());
  };
  if (made) {
    return <Once title="Copy the value once" value={made.value} name={made.name} onDone={done} />;
  }
  if (here.isPending || mine.isPending) return null;
  return (
    <Dialog
      title="New API key"
      description="It acts as you, and disappears when you are removed from the workspace."
      onClose={close}
    >
      <KeyForm
        name={nameOf(
          "mine",
          new Date(),
          rowsOf(mine.data).map((k) => k.name),
        )}
        policy={policyFor("member", here.data?.policy)}
        problem={change.problem}
        busy={change.busy}
        onSubmit={change.send}
        onCancel={close}
      />
    </Dialog>
  );
}
