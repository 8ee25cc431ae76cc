import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { checkAccess, useChange } from "../../api/changes";
import { fieldError } from "../../api/problem";
import { permissionTypes, role, type ServiceAccount } from "../../api/queries";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Matrix } from "../../ui/matrix";
import { Panel, Section } from "../../ui/page";
import { Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { useAccount } from "./account";

/** AccountPermissions are what an account may do, and what it should be able to. */
export function AccountPermissions() {
  const { ws, of } = useAccount();
  if (!of) return <Waiting />;
  return (
    <>
      <Effective ws={ws} of={of} />
      <CheckAccess ws={ws} of={of} />
    </>
  );
}

function Effective({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const has = useQuery(role(ws, a.role.id));
  const types = useQuery(permissionTypes(ws));
  return (
    <Section title="What it may do" text={`From the role ${a.role.name}. A key of it may have less, never more.`}>
      <Panel>{has.data ? <Matrix grants={has.data.permissions} types={types.data ?? []} /> : <Waiting />}</Panel>
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
