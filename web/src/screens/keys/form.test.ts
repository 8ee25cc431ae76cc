import { expect, it } from "vitest";
import { expiry, nameOf } from "./form";

it("names a key after the month, and counts on when the name is taken", () => {
  const now = new Date(2026, 10, 23);
  expect(nameOf("prod", now, [])).toBe("prod-2026-11");
  expect(nameOf("prod", now, ["prod-2026-11"])).toBe("prod-2026-11-2");
  expect(nameOf("prod", now, ["prod-2026-11", "prod-2026-11-2"])).toBe("prod-2026-11-3");
});

it("tells the API how long a key lives", () => {
  expect(expiry("90", "")).toEqual({ expires_in: "90d" });
  expect(expiry("never", "")).toEqual({ expires_at: null });
  expect(expiry("custom", "2026-12-31")).toEqual({ expires_at: new Date("2026-12-31T23:59:59").toISOString() });
});
