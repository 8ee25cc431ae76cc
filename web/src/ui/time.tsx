import { useEffect, useState } from "react";
import { Tip } from "./tip";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** days is how many whole days a span in milliseconds has. */
export function days(span: number): number {
  return Math.floor(span / day);
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const dateOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** ago says how far a moment is from now, in the largest unit that fits. */
export function ago(at: number, now: number): string {
  const span = at - now;
  const size = Math.abs(span);
  if (size < 10 * second) {
    return span <= 0 ? "just now" : "in a moment";
  }
  const units: [Intl.RelativeTimeFormatUnit, number, number][] = [
    ["second", second, minute],
    ["minute", minute, hour],
    ["hour", hour, day],
    ["day", day, 60 * day],
    ["month", 30 * day, 730 * day],
    ["year", 365 * day, Number.POSITIVE_INFINITY],
  ];
  for (const [unit, length, until] of units) {
    if (size < until) {
      return relative.format(Math.trunc(span / length), unit);
    }
  }
  return "";
}

/** exactly writes a moment with its zone. */
export function exactly(at: number): string {
  return absolute.format(at);
}

/** onDate writes the local date of a moment. */
export function onDate(at: number): string {
  return dateOnly.format(at);
}

/** useNow is the time, again every few seconds. */
export function useNow(every = 5 * second): number {
  const [now, set] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

interface TimeProps {
  at: string | null | undefined;
  none?: string;
  /** It is yet to come. What has happened is never told as if it would, whatever the
      clocks of the server and of this device say. */
  ahead?: boolean;
}

/** Time shows a moment relative to now, and exactly on hover and focus. */
export function Time({ at, none = "Never", ahead = false }: TimeProps) {
  const now = useNow();
  if (!at) {
    return <span className="dim">{none}</span>;
  }
  const moment = Date.parse(at);
  return (
    <Tip text={exactly(moment)}>
      <time dateTime={at} tabIndex={0}>
        {ago(ahead ? moment : Math.min(moment, now), now)}
      </time>
    </Tip>
  );
}
