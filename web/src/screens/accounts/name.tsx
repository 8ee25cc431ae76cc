import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { accountNamed } from "../../api/queries";
import { Field } from "../../ui/field";

const pause = 250; // milliseconds without a key stroke, after which it is asked

/** useSettled is a value once it has not changed for a while. */
function useSettled<T>(value: T): T {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), pause);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/** isName reports whether an account can have a name, as far as that is known here. */
export function isName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,63}$/.test(text);
}

interface NameProps {
  ws: string;
  first: string;
  error: string | undefined;
}

/** NameField asks for the name of a new account, and says at once whether it is free. */
export function NameField({ ws, first, error }: NameProps) {
  const [typed, setTyped] = useState(first);
  const name = useSettled(typed.trim());
  const found = useQuery({ ...accountNamed(ws, name), enabled: isName(name) });
  const known = name === typed.trim() && found.isSuccess;
  const taken = known && found.data !== null ? taker(name, found.data) : undefined;
  return (
    <Field
      label="Name"
      name="name"
      required
      autoComplete="off"
      placeholder="support-bot-prod"
      pattern="[a-z0-9][a-z0-9\-]*"
      maxLength={64}
      title="Lower-case letters, digits and hyphens"
      value={typed}
      onChange={(e) => setTyped(e.target.value)}
      hint="Lower-case letters, digits and hyphens. It stays taken, also after the account is revoked."
      good={known && !taken ? `${name} is free.` : undefined}
      error={taken ?? error}
    />
  );
}

/** taker says who has a name. */
export function taker(name: string, by: { name: string; state: string }): string {
  if (by.name !== name) return `${name} is taken: ${by.name} was called so.`;
  return by.state === "inactive"
    ? `${name} is taken: an account that was revoked has it for good.`
    : `${name} is taken by another account.`;
}
