import type { components } from "./schema";

type Schema = components["schemas"];

/** Problem is what the server says when it does not do as it was asked (RFC 9457). */
export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  request_id?: string;
  /** The permission that was missing, with permission_denied. */
  permission?: string;
  /** The policy that was in the way, with policy_violation. */
  policy?: string;
  /** What is known of a change that was made and not yet confirmed. */
  receipt?: Schema["Receipt"];
  errors?: { pointer: string; code: string; detail: string }[];
}

/** ProblemError carries a problem to whoever shows it. */
export class ProblemError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
  }
}

/** unreachable is one object, for a summary takes the focus when there is another. */
const unreachable: Problem = {
  status: 0,
  code: "unreachable",
  title: "The server cannot be reached",
  detail: "Nothing was changed that was not confirmed. Look at the network, then try again.",
};

/** problemOf returns what an error says to people, whatever it is. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) {
    return error.problem;
  }
  return unreachable;
}

/** fieldError returns what a problem says of one field: the one at a JSON pointer. */
export function fieldError(problem: Problem | undefined, pointer: string): string | undefined {
  return problem?.errors?.find((e) => e.pointer === pointer)?.detail;
}
