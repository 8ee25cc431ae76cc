import { useState } from "react";
import { hasPasskeys } from "../../api/passkey";
import { fieldError, type Problem } from "../../api/problem";
import { NewPassword } from "../../ui/newpassword";
import { Segments } from "../../ui/segments";

const ways = [
  { value: "password", label: "Use a password" },
  { value: "passkey", label: "Use a passkey" },
] as const;

export type Way = (typeof ways)[number]["value"];

/** useWay is what somebody will sign in with: a password, or a passkey of this device. */
export function useWay(): [Way, (way: Way) => void] {
  return useState<Way>("password");
}

interface CredentialProps {
  way: Way;
  onChange: (way: Way) => void;
  problem: Problem | undefined;
  pointer: string;
}

/** Credential asks what somebody wants to sign in with from now on. */
export function Credential({ way, onChange, problem, pointer }: CredentialProps) {
  return (
    <>
      {hasPasskeys() && <Segments label="Sign in from now on" options={ways} value={way} onChange={onChange} />}
      {way === "password" ? (
        <NewPassword label="Password" name="password" error={fieldError(problem, pointer)} />
      ) : (
        <p className="small dim">This device will ask for your finger, your face or its PIN.</p>
      )}
    </>
  );
}
