import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { KeyRound } from "lucide-react";
import type { FormEvent } from "react";
import { useAct } from "../../api/act";
import { hasPasskeys, provePasskey } from "../../api/passkey";
import { methods, signIn } from "../../api/sessions";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { Note } from "../../ui/note";
import { Summary } from "../../ui/summary";
import { Alone, inside, useFragment } from "./alone";

/** SignIn is where people sign in. */
export function SignIn() {
  const { to } = useSearch({ from: "/signin" });
  const router = useRouter();
  const queries = useQueryClient();
  const ways = useQuery(methods);
  const failed = useFragment() === "error=sso";
  const arrive = () => {
    queries.clear();
    router.history.push(inside(to));
  };
  const password = useAct(signIn, arrive);
  const passkey = useAct(async (_: undefined) => signIn({ passkey: await provePasskey("sign_in") }), arrive);
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    password.send({ email: String(form.get("email")).trim(), password: String(form.get("password")) });
  };
  const withPasskey = ways.data?.passkey !== false && hasPasskeys();
  return (
    <Alone title="Sign in">
      {ways.data && !ways.data.initialized && (
        <Note>
          Nobody can sign in yet. The server prints a setup link when it starts; <code>postern setup-link</code> prints
          another.
        </Note>
      )}
      {failed && <Note tone="danger">Single sign-on did not work. Nobody was signed in.</Note>}
      <Summary problem={password.problem ?? passkey.problem} />
      {withPasskey && (
        <Button kind="primary" busy={passkey.busy} onClick={() => passkey.send(undefined)}>
          <KeyRound aria-hidden /> Sign in with a passkey
        </Button>
      )}
      {ways.data?.sso && (
        <a className="button" href={`${ways.data.sso.start}?next=${encodeURIComponent(inside(to))}`}>
          Sign in with {ways.data.sso.name}
        </a>
      )}
      {ways.data?.password !== false && (
        <>
          {withPasskey && <p className="or">or</p>}
          <form className="stack" onSubmit={submit}>
            <Field label="Email" name="email" type="email" required autoComplete="username webauthn" />
            <Field label="Password" name="password" type="password" required autoComplete="current-password" />
            <Button kind={withPasskey ? "default" : "primary"} type="submit" busy={password.busy}>
              Sign in
            </Button>
          </form>
        </>
      )}
    </Alone>
  );
}
