import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ago, days, Time } from "./time";

afterEach(() => {
  vi.useRealTimers();
});

const now = Date.parse("2026-11-23T12:00:00Z");
const s = 1000;
const day = 86_400 * s;

it("tells of nothing that has happened as if it would", () => {
  vi.useFakeTimers({ now });
  const at = new Date(now + 3 * s).toISOString(); // the server's clock is ahead
  const shown = (ahead: boolean) => renderToString(createElement(Time, { at, ahead }));
  expect(shown(false)).toContain("just now");
  expect(shown(true)).toContain("in a moment");
});

describe("a moment is told", () => {
  it.each([
    [0, "just now"],
    [-9 * s, "just now"],
    [5 * s, "in a moment"],
    [-14 * s, "14 sec. ago"],
    [-119 * s, "1 min. ago"],
    [-3 * 3600 * s, "3 hr. ago"],
    [-day, "yesterday"],
    [-47 * day, "47 days ago"],
    [-90 * day, "3 mo. ago"],
    [90 * day, "in 3 mo."],
    [-800 * day, "2 yr. ago"],
  ])("%d ms from now as %s", (span, want) => expect(ago(now + span, now)).toBe(want));
});

it("counts whole days only", () => {
  expect(days(2 * day - 1)).toBe(1);
  expect(days(day)).toBe(1);
});
