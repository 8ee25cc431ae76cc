import { useState } from "react";
import type { Schema } from "../../api/client";
import type { Problem } from "../../api/problem";
import { fieldError } from "../../api/problem";
import { CheckBox, Field } from "../../ui/field";
import { Segments } from "../../ui/segments";

const quiets = [
  { value: "learnt", label: "Learnt" },
  { value: "1m", label: "1 min" },
  { value: "10m", label: "10 min" },
  { value: "1h", label: "1 h" },
  { value: "24h", label: "24 h" },
];

/** Terms are when a rotation may end. */
export interface Terms {
  /** For how long the old key must be quiet; learnt: what the policy says, or use. */
  quiet: string;
  auto: boolean;
  /** The last day on which it is not overdue, as a date field writes it; empty: none. */
  date: string;
}

/** dayOf writes a moment as a date field does. */
export function dayOf(at: number): string {
  const d = new Date(at);
  return new Date(at - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

/** endOf is the last second of a day, where one is. */
export function endOf(date: string): string | null {
  return date ? new Date(`${date}T23:59:59`).toISOString() : null;
}

/** termsOf are those of a rotation that is under way. */
export function termsOf(
  r: Pick<Schema["Rotation"], "quiet_for" | "quiet_for_learnt" | "auto_revoke" | "deadline">,
): Terms {
  return {
    quiet: r.quiet_for_learnt ? "learnt" : shortest(r.quiet_for),
    auto: r.auto_revoke,
    date: r.deadline ? dayOf(Date.parse(r.deadline)) : "",
  };
}

/** shortest writes a duration as the choices do: a day is 24 hours. */
function shortest(text: string): string {
  return text === "1d" ? "24h" : text;
}

/** changed is what the API is told of terms that are others than they were. */
export function changed(was: Terms, is: Terms): Schema["UpdateRotation"] {
  return {
    ...(is.quiet !== was.quiet && { quiet_for: is.quiet === "learnt" ? null : is.quiet }),
    ...(is.auto !== was.auto && { auto_revoke: is.auto }),
    ...(is.date !== was.date && { deadline: endOf(is.date) }),
  };
}

interface TermsProps {
  value: Terms;
  onChange: (next: Terms) => void;
  problem: Problem | undefined;
}

/** TermFields ask when a rotation may end. */
export function TermFields({ value, onChange, problem }: TermsProps) {
  const [first] = useState(value.quiet);
  const [tomorrow] = useState(() => dayOf(Date.now() + 86_400_000));
  const known = quiets.some((q) => q.value === first);
  const options = known ? quiets : [...quiets, { value: first, label: first }];
  return (
    <>
      <Segments
        first
        label="The old key counts as unused when it has been quiet for"
        options={options}
        value={value.quiet}
        onChange={(quiet) => onChange({ ...value, quiet })}
      />
      <p className="small dim">
        {value.quiet === "learnt"
          ? "What the policy of this workspace says, or twice the longest gap between two uses that was seen in 30 days."
          : "The rotation is ready when the new key is in use and the old one has been quiet for so long."}
      </p>
      <CheckBox checked={value.auto} onChange={(auto) => onChange({ ...value, auto })}>
        Revoke the old key by itself when it has been quiet, but never while it is in use
      </CheckBox>
      <Field
        label="At the latest on"
        name="deadline"
        type="date"
        min={tomorrow}
        value={value.date}
        onChange={(e) => onChange({ ...value, date: e.target.value })}
        hint="If it is not ready by then, it is marked overdue. Nothing is revoked by that."
        error={fieldError(problem, "/deadline")}
      />
    </>
  );
}
