import { Head } from "../../ui/page";

/** SignIn is where people sign in. */
export function SignIn() {
  return (
    <main className="alone">
      <Head title="Sign in" text={<p>Sign in with the postern command until people can sign in here.</p>} />
    </main>
  );
}
