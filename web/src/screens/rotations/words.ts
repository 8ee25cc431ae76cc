import type { Schema } from "../../api/client";
import type { Rotation } from "../../api/queries";

/** states are what the states of a rotation are called. */
export const states: Record<Rotation["state"], { name: string; tone: "ok" | "warn" | "danger" | "off" }> = {
  waiting_for_first_use: { name: "Waiting for the new key", tone: "warn" },
  overlapping: { name: "Both keys in use", tone: "warn" },
  ready: { name: "Ready", tone: "ok" },
  overdue: { name: "Overdue", tone: "danger" },
  completed: { name: "Completed", tone: "ok" },
  cancelled: { name: "Cancelled", tone: "off" },
};

type Where = Pick<Schema["RotationSource"], "ip" | "user_agent" | "others">;

/** where names a place that keys are used from. */
export function where(s: Where): string {
  if (s.others) return "All other places";
  const agent = s.user_agent ? ` (${s.user_agent})` : "";
  return `${s.ip || "An unknown address"}${agent}`;
}

/** step says which of the four steps a rotation is at. */
export function step(of: Rotation): 2 | 3 | 4 | 5 {
  switch (of.state) {
    case "waiting_for_first_use":
      return 2;
    case "overlapping":
    case "overdue":
      return of.first_use_at ? 3 : 2;
    case "ready":
      return 4;
  }
  return 5;
}
