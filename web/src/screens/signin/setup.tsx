import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { useAct } from "../../api/act";
import { makePasskey } from "../../api/passkey";
import { fieldError } from "../../api/problem";
import { type CurrentSession, setUp } from "../../api/sessions";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { Alone, useFragment } from "./alone";
import { Credential, useWay } from "./credential";

interface Form {
  workspace: string;
  name: string;
  email: string;
  password: string;
}

/** Setup is where the first link of a deployment leads, or one of a member who has
    nothing to sign in with yet. */
export function Setup() {
  const token = useFragment();
  const first = !token.startsWith("member_");
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [way, setWay] = useWay();
  const act = useAct(
    async (form: Form) => {
      const { name, email } = form;
      const proof =
        way === "password"
          ? { password: form.password }
          : { passkey: await makePasskey(first ? { token, email, name } : { token }) };
      return setUp({
        token,
        ...(first && { workspace: { name: form.workspace } }),
        owner: first ? { name, email, ...proof } : proof,
      });
    },
    (now: CurrentSession) => {
      queries.clear();
      const at = now.workspaces.find((w) => w.workspace.id === now.workspace);
      void navigate({ to: "/w/$ws", params: { ws: at?.workspace.slug ?? "-" }, replace: true });
    },
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    act.send({
      workspace: text("workspace"),
      name: text("name"),
      email: text("email"),
      password: String(form.get("password") ?? ""),
    });
  };
  if (!token) return <NoToken />;
  return (
    <Alone
      title={first ? "Set up Postern" : "Choose how you sign in"}
      text={first ? "You become the owner of its first workspace." : "This link works once."}
    >
      {act.problem?.status === 410 ? (
        <Note tone="warn">
          This link was used already, or its 15 minutes are over. <code>postern setup-link</code> prints another, as
          long as nobody has set up this deployment.
        </Note>
      ) : (
        <Summary problem={act.problem} />
      )}
      <form className="stack" onSubmit={submit}>
        {first && (
          <>
            <Field
              label="Workspace name"
              name="workspace"
              required
              maxLength={64}
              placeholder="Acme"
              error={fieldError(act.problem, "/workspace/name")}
            />
            <Field
              label="Your name"
              name="name"
              required
              autoComplete="name"
              error={fieldError(act.problem, "/owner/name")}
            />
            <Field
              label="Email"
              name="email"
              type="email"
              required
              autoComplete="username"
              error={fieldError(act.problem, "/owner/email")}
            />
          </>
        )}
        <Credential way={way} onChange={setWay} problem={act.problem} pointer="/owner/password" />
        <Button kind="primary" type="submit" busy={act.busy}>
          {first ? "Create workspace" : "Sign in"}
        </Button>
      </form>
    </Alone>
  );
}

/** NoToken is what a link says that has lost its part behind the #. */
export function NoToken() {
  return (
    <Alone title="This link is not complete">
      <p>Open it again from where you have it. It works once, and loading the page again loses its last part.</p>
      <Link className="button" to="/signin">
        Sign in
      </Link>
    </Alone>
  );
}
