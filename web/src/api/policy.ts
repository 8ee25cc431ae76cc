import type { Schema } from "./client";

/** Policy is what a workspace's policy says of one kind of keys. */
export interface Policy {
  defaultDays: number;
  /** null: as long as one likes. */
  maxDays: number | null;
}

/** policyFor is the policy for keys of accounts or of members. While it is not known,
    the server's answer will say. */
export function policyFor(of: "account" | "member", policy: Schema["Policy"] | undefined): Policy {
  return of === "account"
    ? { defaultDays: policy?.account_key_default_days ?? 365, maxDays: policy?.account_key_max_days ?? null }
    : { defaultDays: policy?.member_key_default_days ?? 90, maxDays: policy?.member_key_max_days ?? 90 };
}
