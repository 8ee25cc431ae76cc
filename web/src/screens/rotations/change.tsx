import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { updateRotation, useChange } from "../../api/changes";
import { isOver, type Rotation, rotation } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Summary } from "../../ui/summary";
import { useToast } from "../../ui/toast";
import { changed, TermFields, termsOf } from "./terms";

/** ChangeRotation is the dialog that says anew when a rotation may end. */
export function ChangeRotation() {
  const { ws, sa, rot } = useParams({ strict: false }) as { ws: string; sa: string; rot: string };
  const navigate = useNavigate();
  const found = useQuery(rotation(ws, rot));
  const close = () =>
    navigate({
      to: "/w/$ws/settings/service-accounts/$sa/rotations/$rot",
      params: { ws, sa, rot },
      resetScroll: false,
    });
  return found.data && !isOver(found.data) ? <Change ws={ws} of={found.data} onClose={close} /> : null;
}

function Change({ ws, of: r, onClose }: { ws: string; of: Rotation; onClose: () => void }) {
  const toast = useToast();
  const [was] = useState(() => termsOf(r));
  const [terms, setTerms] = useState(was);
  const back = useChange(ws, updateRotation(ws, r.id), () => toast("The rotation ends as it was to."));
  const change = useChange(ws, updateRotation(ws, r.id), () => {
    toast("The rotation is changed.", () => back.send(changed(terms, was)));
    onClose();
  });
  const wanted = changed(was, terms);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    change.send(wanted);
  };
  const same = Object.keys(wanted).length === 0 ? "Nothing is different." : undefined;
  return (
    <Dialog title="Change when it may end" onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={change.problem} />
        <TermFields value={terms} onChange={setTerms} problem={change.problem} />
        <div className="row" data-end>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy} reason={same}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
