import { type FormEvent, useState } from "react";
import type { Schema } from "../../api/client";
import type { Policy } from "../../api/policy";
import type { Problem } from "../../api/problem";
import { fieldError } from "../../api/problem";
import { Button } from "../../ui/button";
import { CheckBox, Field, TextArea } from "../../ui/field";
import { Segments } from "../../ui/segments";
import { Summary } from "../../ui/summary";
import { onDate } from "../../ui/time";

const day = 86_400_000;

type Life = "30" | "90" | "365" | "custom" | "never";

const lives: { value: Life; label: string }[] = [
  { value: "30", label: "30 d" },
  { value: "90", label: "90 d" },
  { value: "365", label: "1 y" },
  { value: "custom", label: "Custom" },
  { value: "never", label: "Never" },
];

/** nameOf is the name that a new key is given unless somebody says otherwise. */
export function nameOf(base: string, now: Date, taken: readonly string[]): string {
  const month = `${base}-${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, "0")}`;
  if (!taken.includes(month)) return month;
  for (let n = 2; ; n++) {
    if (!taken.includes(`${month}-${n}`)) return `${month}-${n}`;
  }
}

interface KeyFormProps {
  name: string;
  policy: Policy;
  problem: Problem | undefined;
  busy: boolean;
  /** What the key is limited to unless somebody says otherwise. */
  limit?: string[];
  networks?: string[];
  onSubmit: (body: Schema["CreateKey"]) => void;
  onCancel: () => void;
}

/** KeyForm asks what a new key is to be. With the defaults it is one click. */
export function KeyForm(props: KeyFormProps) {
  const { name, policy, problem, busy, limit = [], networks = [], onSubmit, onCancel } = props;
  const [life, setLife] = useState<Life>(() => first(policy));
  const [limited, setLimited] = useState(limit.length > 0);
  const [fenced, setFenced] = useState(networks.length > 0);
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const lines = (field: string) =>
      String(form.get(field) ?? "")
        .split(/[\s,]+/)
        .filter(Boolean);
    onSubmit({
      name: String(form.get("name")).trim(),
      ...expiry(life, String(form.get("date") ?? "")),
      ...(limited && { limit: lines("limit") }),
      ...(fenced && { allowed_networks: lines("networks") }),
    });
  };
  return (
    <form className="stack" onSubmit={submit}>
      <Summary problem={problem} />
      <Field
        label="Name"
        name="name"
        required
        defaultValue={name}
        maxLength={64}
        autoComplete="off"
        error={fieldError(problem, "/name")}
      />
      <Expiry life={life} onChange={setLife} policy={policy} error={expiryError(problem)} />
      <CheckBox checked={limited} onChange={setLimited}>
        Limit this key
      </CheckBox>
      {limited && (
        <TextArea
          label="Permissions"
          name="limit"
          required
          defaultValue={limit.join("\n")}
          placeholder={"tickets:read\nagents:execute"}
          hint="One on each line. A key can have less than its account, never more."
          error={startingWith(problem, "/limit")}
        />
      )}
      <CheckBox checked={fenced} onChange={setFenced}>
        Only from some networks
      </CheckBox>
      {fenced && (
        <TextArea
          label="Allowed networks"
          name="networks"
          required
          defaultValue={networks.join("\n")}
          placeholder={"10.0.0.0/8\n203.0.113.7"}
          hint="Addresses or ranges, one on each line."
          error={startingWith(problem, "/allowed_networks")}
        />
      )}
      <div className="row" data-end>
        <Button onClick={onCancel}>Cancel</Button>
        <Button kind="primary" type="submit" busy={busy}>
          Create key
        </Button>
      </div>
    </form>
  );
}

function startingWith(problem: Problem | undefined, pointer: string): string | undefined {
  return problem?.errors?.find((e) => e.pointer === pointer || e.pointer.startsWith(`${pointer}/`))?.detail;
}

function expiryError(problem: Problem | undefined): string | undefined {
  return startingWith(problem, "/expires_in") ?? startingWith(problem, "/expires_at");
}

function first(policy: Policy): Life {
  const exact = lives.find((l) => l.value === String(policy.defaultDays));
  return exact?.value ?? "90";
}

/** expiry is what the API is told of how long a key lives. */
export function expiry(life: Life, date: string): Pick<Schema["CreateKey"], "expires_in" | "expires_at"> {
  if (life === "never") return { expires_at: null };
  if (life === "custom") return { expires_at: new Date(`${date}T23:59:59`).toISOString() };
  return { expires_in: `${life}d` };
}

interface ExpiryProps {
  life: Life;
  onChange: (life: Life) => void;
  policy: Policy;
  error: string | undefined;
}

function Expiry({ life, onChange, policy, error }: ExpiryProps) {
  const [tomorrow] = useState(() => new Date(Date.now() + day).toISOString().slice(0, 10));
  const most = policy.maxDays;
  const allowed = lives.filter((l) => most === null || l.value === "custom" || Number(l.value) <= most);
  return (
    <div className="field">
      <Segments label="Expires" options={allowed} value={life} onChange={onChange} />
      {life === "custom" && <Field label="On" name="date" type="date" required min={tomorrow} error={error} />}
      <p className="small dim">
        {life === "never" && "It works until somebody revokes it. Most keys should have an end."}
        {life !== "never" && life !== "custom" && `It ends on ${onDate(Date.now() + Number(life) * day)}.`}
        {most !== null && ` The policy of this workspace allows ${most} days.`}
      </p>
      {error && life !== "custom" && <p className="field-error">{error}</p>}
    </div>
  );
}
