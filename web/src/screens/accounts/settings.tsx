import { useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { updateAccount, useChange } from "../../api/changes";
import { useMay } from "../../api/me";
import { fieldError } from "../../api/problem";
import type { ServiceAccount } from "../../api/queries";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Panel, Section } from "../../ui/page";
import { Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { useToast } from "../../ui/toast";
import { useAccount } from "./account";
import { useTurn } from "./actions";

/** AccountSettings are an account's details, and what ends it. */
export function AccountSettings() {
  const { ws, of } = useAccount();
  if (!of) return <Waiting />;
  return (
    <>
      <Details key={of.etag} ws={ws} of={of} />
      {of.state !== "inactive" && <Danger ws={ws} of={of} />}
    </>
  );
}

function Details({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const toast = useToast();
  const navigate = useNavigate();
  const may = useMay()("iam.service_accounts:write");
  const back = useChange(ws, updateAccount(ws, a.id), (now) => toast(`The details of ${now.name} are as they were.`));
  const change = useChange(ws, updateAccount(ws, a.id), (now) => {
    const was = { name: a.name, description: a.description, owner: a.owner };
    toast(`The details of ${now.name} are changed.`, () => back.send(was));
    if (now.name !== a.name) {
      void navigate({
        to: "/w/$ws/settings/service-accounts/$sa/settings",
        params: { ws, sa: now.name },
        replace: true,
      });
    }
  });
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    change.send({ name: text("name"), description: text("description"), owner: text("owner") });
  };
  const still = a.state === "inactive";
  return (
    <Section title="Details">
      <Panel>
        <form className="stack narrow" onSubmit={submit}>
          <Summary problem={change.problem} />
          <Field
            label="Name"
            name="name"
            required
            readOnly={still}
            defaultValue={a.name}
            pattern="[a-z0-9][a-z0-9\-]*"
            title="Lower-case letters, digits and hyphens"
            maxLength={64}
            autoComplete="off"
            error={fieldError(change.problem, "/name")}
          />
          <Field
            label="Description"
            name="description"
            readOnly={still}
            defaultValue={a.description}
            hint="Name the owning team."
            autoComplete="off"
            error={fieldError(change.problem, "/description")}
          />
          <Field
            label="Owner"
            name="owner"
            readOnly={still}
            defaultValue={a.owner}
            autoComplete="off"
            error={fieldError(change.problem, "/owner")}
          />
          {!still && (
            <div className="row">
              <Button kind="primary" type="submit" busy={change.busy} reason={may}>
                Save
              </Button>
            </div>
          )}
        </form>
      </Panel>
    </Section>
  );
}

function Danger({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const navigate = useNavigate();
  const may = useMay()("iam.service_accounts:write");
  const turn = useTurn(ws, a);
  return (
    <Section title="Danger zone">
      <Panel tone="danger">
        <div className="head-row">
          <div className="grow">
            <h3>{a.state === "paused" ? "Resume this account" : "Pause this account"}</h3>
            <p className="dim">
              {a.state === "paused"
                ? "Its keys work again, as far as they themselves are neither paused nor expired."
                : "Every key it owns is refused at once, on every node, until the account is resumed."}
            </p>
          </div>
          <Button reason={may} onClick={turn}>
            {a.state === "paused" ? "Resume" : "Pause"}
          </Button>
        </div>
        <hr />
        <div className="head-row">
          <div className="grow">
            <h3>Revoke this account</h3>
            <p className="dim">
              Every key it owns stops working instantly, and it is inactive for good. No person is affected.
            </p>
          </div>
          <Button
            kind="danger"
            reason={may}
            onClick={() => navigate({ to: "/w/$ws/settings/service-accounts/$sa/revoke", params: { ws, sa: a.name } })}
          >
            Revoke
          </Button>
        </div>
      </Panel>
    </Section>
  );
}
