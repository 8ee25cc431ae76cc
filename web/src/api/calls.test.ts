import { expect, it } from "vitest";
import { api, data } from "./client";
import { only, present } from "./lists";
import { fieldError, ProblemError, problemOf } from "./problem";
import { began } from "./queries";

/** whoami asks, and gets an answer that was made up. */
const whoami = (status: number, body: string, type: string) => {
  const headers = { "Content-Type": type, "X-Request-Id": "req_1" };
  const fetch = async () => new Response(body, { status, headers });
  return data(api.GET("/v1/whoami", { baseUrl: "http://localhost", fetch })).catch((e: unknown) => e);
};

it("throws the problem that an answer says", async () => {
  const problem = { status: 403, code: "permission_denied", permission: "iam.keys:read" };
  const error = await whoami(403, JSON.stringify(problem), "application/problem+json");
  expect(error).toBeInstanceOf(ProblemError);
  expect(problemOf(error)).toMatchObject({ code: "permission_denied", permission: "iam.keys:read" });
});

it("says so when something else answered", async () => {
  const error = await whoami(502, "<h1>Bad gateway</h1>", "text/html");
  expect(problemOf(error)).toMatchObject({ status: 502, code: "unavailable", request_id: "req_1" });
});

it("takes what is no answer for a network that is gone", () => {
  expect(problemOf(new TypeError("Failed to fetch"))).toMatchObject({ status: 0, code: "unreachable" });
});

it("finds what a problem says of a field", () => {
  const problem = {
    status: 422,
    code: "validation_failed",
    title: "",
    detail: "",
    errors: [{ pointer: "/name", code: "x", detail: "is taken" }],
  };
  expect(fieldError(problem, "/name")).toBe("is taken");
  expect(fieldError(problem, "/owner")).toBeUndefined();
});

it("leaves out of an address what is not there", () => {
  expect(present({ a: 1, b: undefined, c: "", d: "x" })).toEqual({ a: 1, d: "x" });
});

it("asks the API for what it knows, whatever else an address holds", () => {
  const search: { q?: string; role?: string } = { q: "bot", ...{ move: "key_1" } };
  expect(only(search, "q", "role")).toEqual({ q: "bot" });
});

it("counts steps back from the one that runs", () => {
  const now = Date.parse("2026-11-23T12:34:56Z");
  expect(began("1m", 60, now)).toBe("2026-11-23T11:35:00.000Z");
  expect(began("1d", 1, now)).toBe("2026-11-23T00:00:00.000Z");
});
