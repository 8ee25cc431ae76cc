import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Shield } from "lucide-react";
import { type FormEvent, useState } from "react";
import { checkAccess, useChange } from "../../api/changes";
import type { Schema } from "../../api/client";
import { rowsOf } from "../../api/lists";
import { fieldError } from "../../api/problem";
import { accountHeld, permissionTypes, role, type ServiceAccount } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { type Column, List } from "../../ui/list";
import { Matrix } from "../../ui/matrix";
import { count } from "../../ui/numbers";
import { Panel, Section } from "../../ui/page";
import { Empty, Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { useAccount } from "./account";
import { Advice } from "./advice";

/** AccountPermissions are what an account may do, and what it should be able to. */
export function AccountPermissions() {
  const { ws, of } = useAccount();
  if (!of) return <Waiting />;
  return (
    <>
      <Effective ws={ws} of={of} />
      {of.state !== "inactive" && <Advice ws={ws} of={of} />}
      <Used ws={ws} of={of} />
      <CheckAccess ws={ws} of={of} />
    </>
  );
}

function Effective({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const has = useQuery(role(ws, a.role.id));
  const types = useQuery(permissionTypes(ws));
  return (
    <Section
      title="What it may do"
      text={`From the role ${has.data?.title || a.role.name}. A key of it may have less, never more.`}
    >
      <Panel>{has.data ? <Matrix grants={has.data.permissions} types={types.data ?? []} /> : <Waiting />}</Panel>
    </Section>
  );
}

type Held = Schema["HeldPermission"] & { id: string };

const heldColumns: Column<Held>[] = [
  { name: "Permission", kind: "main", cell: (h) => <code>{h.permission}</code> },
  { name: "From", cell: (h) => h.from },
  { name: "Last used", cell: (h) => <Time at={h.last_used_at} /> },
  { name: "Uses in 30 days", kind: "number", cell: (h) => count(h.uses_30d) },
];

/** Used is what of it was used, and when. */
function Used({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const held = useInfiniteQuery(accountHeld(ws, a.id));
  return (
    <Section title="What it uses">
      <List
        label="Permissions and their use"
        query={held}
        lines={1}
        rows={rowsOf(held.data).map((h) => ({ ...h, id: `${h.from} ${h.permission}` }))}
        columns={heldColumns}
        empty={
          <Empty icon={<Shield aria-hidden />} title="It may do nothing">
            Its role has no permissions.
          </Empty>
        }
      />
    </Section>
  );
}

function CheckAccess({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const [asked, setAsked] = useState("");
  const check = useChange(ws, checkAccess(ws));
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const permission = String(new FormData(e.currentTarget).get("permission")).trim();
    setAsked(permission);
    check.send({ principal: a.id, permission });
  };
  return (
    <Section title="Check access" text="Ask whether it may do something, and why.">
      <Panel>
        <form className="stack narrow" onSubmit={submit}>
          <Summary problem={check.problem} />
          <Field
            label="Permission"
            name="permission"
            required
            placeholder="agents:execute"
            autoComplete="off"
            spellCheck={false}
            error={fieldError(check.problem, "/permission")}
          />
          <div className="row">
            <Button type="submit" busy={check.busy}>
              Check
            </Button>
          </div>
        </form>
        <div role="status" className="answer">
          {check.done && (
            <>
              <p className="row">
                <Badge tone={check.done.allowed ? "ok" : "danger"}>{check.done.allowed ? "Allowed" : "Refused"}</Badge>
                <code>{asked}</code>
              </p>
              <ul className="because">
                {check.done.because.map((b) => (
                  <li key={b}>{b}</li>
                ))}
              </ul>
            </>
          )}
        </div>
      </Panel>
    </Section>
  );
}
