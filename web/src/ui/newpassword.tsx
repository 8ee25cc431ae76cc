import { Field } from "./field";

/** NewPassword asks for a password that is to be, by the rules of the API. */
export function NewPassword(given: { label: string; name: string; error: string | undefined }) {
  return (
    <Field
      {...given}
      type="password"
      required
      minLength={12}
      maxLength={256}
      autoComplete="new-password"
      hint="12 characters or more."
    />
  );
}
