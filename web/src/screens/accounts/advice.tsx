import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { updateAccount, useChange } from "../../api/changes";
import type { Schema } from "../../api/client";
import { useMay } from "../../api/me";
import { problemOf } from "../../api/problem";
import { advice, type ServiceAccount } from "../../api/queries";
import { Button } from "../../ui/button";
import { Note } from "../../ui/note";
import { count, many } from "../../ui/numbers";
import { Panel, Section } from "../../ui/page";
import { Failure, Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { useToast } from "../../ui/toast";

/** Advice says what an account could do without, from how it was used. */
export function Advice({ ws, of: a }: { ws: string; of: ServiceAccount }) {
  const found = useQuery(advice(ws, a.id));
  const [later, setLater] = useState(false);
  if (later) return null;
  return (
    <Section title="Advice" text="From how it was used, and nothing else.">
      <Panel>
        {found.error && !found.data ? <Failure problem={problemOf(found.error)} /> : null}
        {found.isPending && <Waiting />}
        {found.data && <Given ws={ws} of={a} advice={found.data} onLater={() => setLater(true)} />}
      </Panel>
    </Section>
  );
}

type Told = Schema["Advice"];

function Given({
  ws,
  of,
  advice: told,
  onLater,
}: {
  ws: string;
  of: ServiceAccount;
  advice: Told;
  onLater: () => void;
}) {
  if (told.silent === "too_little_data") {
    return (
      <Note>
        {told.data_days === 0 ? "There is no data yet." : `So far there is data of ${many(told.data_days, "day")}.`}{" "}
        Advice begins at 14 days, so that what is needed once a fortnight is not taken away.
      </Note>
    );
  }
  if (told.silent === "gives_to_others") {
    return (
      <Note>
        This account gives permissions to others. That takes holding what is given, which is not counted, so nothing is
        advised.
      </Note>
    );
  }
  if (told.unused.length === 0 && !told.suggested_role) {
    return <Note tone="ok">It uses all that its role allows. There is nothing to take away.</Note>;
  }
  return (
    <div className="stack">
      {told.unused.length > 0 && (
        <p>
          Not used in {many(told.window_days, "day")}:{" "}
          {told.unused.map((p) => (
            <code key={p} className="chip">
              {p}
            </code>
          ))}
        </p>
      )}
      {told.suggested_role && (
        <p>
          The role <strong>{told.suggested_role.title || told.suggested_role.name}</strong> would have{" "}
          {told.would_refuse === 0
            ? `allowed all of the last ${count(told.of)} requests.`
            : `refused ${told.at_most ? "at most " : ""}${count(told.would_refuse)} of the last ${count(told.of)} requests.`}
        </p>
      )}
      <Choices ws={ws} of={of} advice={told} onLater={onLater} />
    </div>
  );
}

function Choices({
  ws,
  of: a,
  advice: told,
  onLater,
}: {
  ws: string;
  of: ServiceAccount;
  advice: Told;
  onLater: () => void;
}) {
  const navigate = useNavigate();
  const toast = useToast();
  const may = useMay();
  const back = useChange(ws, updateAccount(ws, a.id), () => toast(`${a.name} has the role ${a.role.name} again.`));
  const apply = useChange(ws, updateAccount(ws, a.id), (now) =>
    toast(`${a.name} has the role ${now.role.name}.`, () => back.send({ role: a.role.name })),
  );
  const role = told.suggested_role;
  return (
    <>
      <Summary problem={apply.problem} />
      <div className="row">
        {role && (
          <Button
            kind="primary"
            reason={may("iam.service_accounts:write")}
            busy={apply.busy}
            onClick={() => apply.send({ role: role.name })}
          >
            Apply
          </Button>
        )}
        {told.from_use.length > 0 && (
          <Button
            reason={may("iam.roles:write")}
            onClick={() =>
              navigate({
                to: "/w/$ws/settings/roles/new",
                params: { ws },
                search: { name: a.name, from: told.from_use.join(" ") },
              })
            }
          >
            Create a role from use
          </Button>
        )}
        <Button kind="plain" onClick={onLater}>
          Not now
        </Button>
      </div>
    </>
  );
}
