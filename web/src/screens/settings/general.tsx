import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { updateWorkspace, useChange } from "../../api/changes";
import type { Schema } from "../../api/client";
import { useMay } from "../../api/me";
import { fieldError, type Problem, problemOf } from "../../api/problem";
import { seats, type Workspace, workspace } from "../../api/queries";
import { Button } from "../../ui/button";
import { CopyIcon } from "../../ui/copy";
import { CheckBox, Field } from "../../ui/field";
import { count } from "../../ui/numbers";
import { Head, Panel, Section } from "../../ui/page";
import { Failure, Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { useToast } from "../../ui/toast";

/** General are a workspace's name, its policy and its seats. */
export function General() {
  const { ws } = useParams({ from: "/w/$ws/settings/general" });
  const here = useQuery(workspace(ws));
  return (
    <>
      <Head title="General" text="The name of this workspace, and what it allows." />
      {here.error && !here.data ? (
        <div className="table-wrap">
          <Failure problem={problemOf(here.error)} onRetry={() => void here.refetch()} />
        </div>
      ) : here.data ? (
        <>
          <Name ws={ws} of={here.data} />
          <PolicyForm key={here.data.etag} ws={ws} of={here.data} />
          <SeatsPanel ws={ws} />
        </>
      ) : (
        <Waiting />
      )}
    </>
  );
}

function Name({ ws, of: w }: { ws: string; of: Workspace }) {
  const toast = useToast();
  const may = useMay()("iam.settings:write");
  const back = useChange(ws, updateWorkspace(ws), () => toast(`The workspace is called ${w.name} again.`));
  const change = useChange(ws, updateWorkspace(ws), (now) =>
    toast(`The workspace is called ${now.name}.`, () => back.send({ name: w.name })),
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    change.send({ name: String(new FormData(e.currentTarget).get("name")).trim() });
  };
  return (
    <Section title="Workspace">
      <Panel>
        <form className="stack narrow" onSubmit={submit}>
          <Summary problem={change.problem} />
          <Field
            key={w.name}
            label="Name"
            name="name"
            required
            defaultValue={w.name}
            maxLength={64}
            error={fieldError(change.problem, "/name")}
          />
          <dl className="definitions">
            <dt>Slug</dt>
            <dd>
              <code>{w.slug}</code>
            </dd>
            <dt>Id</dt>
            <dd className="row">
              <code>{w.id}</code>
              <CopyIcon text={w.id} label="Copy the id" />
            </dd>
          </dl>
          <div className="row">
            <Button kind="primary" type="submit" reason={may} busy={change.busy}>
              Save name
            </Button>
          </div>
        </form>
      </Panel>
    </Section>
  );
}

type Policy = Schema["Policy"];

const numbers = [
  { name: "account_key_default_days", label: "Days a service account's key lives by default", empty: undefined },
  { name: "account_key_max_days", label: "Days a service account's key may live at most", empty: "Empty: no limit." },
  { name: "member_key_default_days", label: "Days a personal key lives by default", empty: undefined },
  { name: "member_key_max_days", label: "Days a personal key may live at most", empty: "Empty: no limit." },
  { name: "seat_limit", label: "Seats", empty: "Empty: as many as you like. Service accounts never count." },
  { name: "invitation_days", label: "Days an invitation can be accepted", empty: undefined },
] as const;

const switches = [
  { name: "owner_required", label: "A service account must name its owner" },
  { name: "self_rotation", label: "A key may rotate itself" },
  { name: "reveal_refusal_reason", label: "Who holds a key is told why it was refused" },
] as const;

/** policyFrom reads a form into a policy. */
export function policyFrom(form: FormData, on: Record<string, boolean>): Schema["UpdatePolicy"] {
  const number = (name: string) => {
    const text = String(form.get(name) ?? "").trim();
    return text === "" ? null : Number(text);
  };
  return {
    ...Object.fromEntries(numbers.map((n) => [n.name, number(n.name)])),
    quiet_for: String(form.get("quiet_for") ?? "").trim(),
    ...on,
  };
}

function PolicyForm({ ws, of: w }: { ws: string; of: Workspace }) {
  const toast = useToast();
  const may = useMay()("iam.settings:write");
  const [on, setOn] = useState<Record<string, boolean>>(() =>
    Object.fromEntries(switches.map((s) => [s.name, w.policy[s.name]])),
  );
  const back = useChange(ws, updateWorkspace(ws), () => toast("The policy is as it was."));
  const change = useChange(ws, updateWorkspace(ws), () =>
    toast("The policy is changed.", () => back.send({ policy: w.policy })),
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    change.send({ policy: policyFrom(new FormData(e.currentTarget), on) });
  };
  return (
    <Section title="Policy" text="It holds for what is made from now on.">
      <Panel>
        <form className="stack narrow" onSubmit={submit}>
          <Summary problem={change.problem} />
          {numbers.map((n) => (
            <NumberField key={n.name} of={n} policy={w.policy} problem={change.problem} />
          ))}
          <Field
            label="How long an old key must be quiet before a rotation can end"
            name="quiet_for"
            required
            defaultValue={w.policy.quiet_for}
            hint="A number and s, m, h or d, such as 10m."
            error={fieldError(change.problem, "/policy/quiet_for")}
          />
          {switches.map((s) => (
            <CheckBox key={s.name} checked={on[s.name] ?? false} onChange={(v) => setOn({ ...on, [s.name]: v })}>
              {s.label}
            </CheckBox>
          ))}
          <div className="row">
            <Button kind="primary" type="submit" reason={may} busy={change.busy}>
              Save policy
            </Button>
          </div>
        </form>
      </Panel>
    </Section>
  );
}

function NumberField({
  of: n,
  policy,
  problem,
}: {
  of: (typeof numbers)[number];
  policy: Policy;
  problem: Problem | undefined;
}) {
  const value = policy[n.name];
  return (
    <Field
      label={n.label}
      name={n.name}
      type="number"
      min={1}
      required={n.empty === undefined}
      defaultValue={value === null ? "" : value}
      hint={n.empty}
      error={fieldError(problem, `/policy/${n.name}`)}
    />
  );
}

function SeatsPanel({ ws }: { ws: string }) {
  const taken = useQuery(seats(ws));
  if (!taken.data) return null;
  const { used, pending, limit } = taken.data;
  return (
    <Section title="Seats" text="Only people take seats. Service accounts never count.">
      <Panel>
        <p className="row">
          <strong className="big number">{limit === null ? count(used) : `${count(used)} of ${count(limit)}`}</strong>
          <span className="dim">used{pending > 0 && `, ${count(pending)} more held by invitations`}</span>
        </p>
        {limit !== null && <progress max={limit} value={used + pending} aria-label="Seats used or held" />}
      </Panel>
    </Section>
  );
}
