import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { updateKey, useChange } from "../../api/changes";
import { policyFor } from "../../api/policy";
import { fieldError } from "../../api/problem";
import { type Key, key, workspace } from "../../api/queries";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field, TextArea } from "../../ui/field";
import { Summary } from "../../ui/summary";
import { useToast } from "../../ui/toast";

/** EditAccountKey is the dialog that changes a key: its name, its end, its limit and
    its networks. */
export function EditAccountKey() {
  const { ws, sa, key: id } = useParams({ strict: false }) as { ws: string; sa: string; key: string };
  const navigate = useNavigate();
  const found = useQuery(key(ws, id));
  const close = () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa }, resetScroll: false });
  return found.data ? <EditKey ws={ws} of={found.data} onClose={close} /> : null;
}

/** local writes a moment as a date field wants it. */
function local(at: string | null): string {
  if (!at) return "";
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

function lines(form: FormData, name: string): string[] | null {
  const all = String(form.get(name) ?? "")
    .split(/[\s,]+/)
    .filter(Boolean);
  return all.length > 0 ? all : null;
}

function EditKey({ ws, of: k, onClose }: { ws: string; of: Key; onClose: () => void }) {
  const toast = useToast();
  const policy = policyFor("account", useQuery(workspace(ws)).data?.policy);
  const [date, setDate] = useState(local(k.expires_at));
  const change = useChange(ws, updateKey(ws, k.id), () => {
    toast(`${k.name} is changed.`);
    onClose();
  });
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const [limit, networks] = [lines(form, "limit"), lines(form, "networks")];
    const name = String(form.get("name")).trim();
    const same = (a: string[] | null, b: string[] | null) => JSON.stringify(a) === JSON.stringify(b);
    change.send({
      ...(name !== k.name && { name }),
      ...(date !== local(k.expires_at) && { expires_at: date ? new Date(`${date}T23:59:59`).toISOString() : null }),
      ...(!same(limit, k.limit) && { limit }),
      ...(!same(networks, k.allowed_networks) && { allowed_networks: networks }),
    });
  };
  const problem = change.problem;
  return (
    <Dialog title={`Edit ${k.name}`} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Summary problem={problem} />
        <Field
          label="Name"
          name="name"
          required
          defaultValue={k.name}
          maxLength={64}
          error={fieldError(problem, "/name")}
        />
        <Field
          label="Ends on"
          name="date"
          type="date"
          value={date}
          onChange={(e) => setDate(e.target.value)}
          hint={
            policy.maxDays === null
              ? "At the end of that day, where you are. Empty: it has no end."
              : `At the end of that day, where you are, ${policy.maxDays} days from now at most.`
          }
          error={fieldError(problem, "/expires_at")}
        />
        <TextArea
          label="Limit"
          name="limit"
          defaultValue={k.limit?.join("\n") ?? ""}
          hint="Permissions, one on each line. Empty: all that the role allows. A key can have less than its account, never more."
          error={fieldError(problem, "/limit")}
        />
        <TextArea
          label="Allowed networks"
          name="networks"
          defaultValue={k.allowed_networks?.join("\n") ?? ""}
          hint="Addresses or ranges, one on each line. Empty: from anywhere."
          error={fieldError(problem, "/allowed_networks")}
        />
        <div className="row" data-end>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.busy}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
