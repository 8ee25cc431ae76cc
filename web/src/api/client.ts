import createClient, { type Middleware } from "openapi-fetch";
import { ProblemError } from "./problem";
import type { components, paths } from "./schema";

export type Schema = components["schemas"];

/** api is the public HTTP API: the console uses nothing else. */
export const api = createClient<paths>({
  baseUrl: "",
  credentials: "same-origin",
  querySerializer: { array: { style: "form", explode: false } },
});

// Every answer that is not a success becomes an error with the problem that it says.
const problems: Middleware = {
  async onResponse({ response }) {
    if (response.ok) {
      return undefined;
    }
    const type = response.headers.get("Content-Type") ?? "";
    if (type.startsWith("application/problem+json")) {
      throw new ProblemError(await response.json());
    }
    throw new ProblemError({
      status: response.status,
      code: "unavailable",
      title: "The server did not answer as it should",
      detail: `It answered ${response.status}. Something between this page and Postern may have answered in its place.`,
      request_id: response.headers.get("X-Request-Id") ?? "",
    });
  },
};

api.use(problems);

/** attempt is the header that makes a change happen once, however often it is sent. */
export function attempt(): { "Idempotency-Key": string } {
  return { "Idempotency-Key": crypto.randomUUID() };
}

/** data returns what an answer holds. Problems were thrown before. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
