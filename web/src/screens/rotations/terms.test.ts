import { expect, it } from "vitest";
import { changed, dayOf, endOf, termsOf } from "./terms";

const rotation = { quiet_for: "1d", quiet_for_learnt: false, auto_revoke: false, deadline: null };

it("reads when a rotation may end", () => {
  expect(termsOf(rotation)).toEqual({ quiet: "24h", auto: false, date: "" });
  expect(termsOf({ ...rotation, quiet_for_learnt: true }).quiet).toBe("learnt");
  expect(termsOf({ ...rotation, quiet_for: "7m" }).quiet).toBe("7m");
});

it("sends what is different, and nothing else", () => {
  const was = termsOf(rotation);
  expect(changed(was, was)).toEqual({});
  expect(changed(was, { ...was, quiet: "1h" })).toEqual({ quiet_for: "1h" });
  expect(changed(was, { ...was, quiet: "learnt", auto: true })).toEqual({ quiet_for: null, auto_revoke: true });
  expect(changed({ ...was, date: "2026-12-01" }, was)).toEqual({ deadline: null });
});

it("takes a day to its last second, where one is", () => {
  expect(endOf("")).toBeNull();
  expect(dayOf(Date.parse(endOf("2026-12-01") ?? ""))).toBe("2026-12-01");
});
