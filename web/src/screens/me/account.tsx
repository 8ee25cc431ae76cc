import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Fingerprint, Monitor, Plus, SquareTerminal } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useAct } from "../../api/act";
import { rowsOf } from "../../api/lists";
import { addPasskey, hasPasskeys } from "../../api/passkey";
import { fieldError, problemOf } from "../../api/problem";
import { type Key, myKeys } from "../../api/queries";
import {
  type CurrentSession,
  changePassword,
  currentSession,
  endOthers,
  endSession,
  type Passkey,
  passkeys,
  removePasskey,
  renamePasskey,
  type Session,
  sessions,
} from "../../api/sessions";
import { chooseTheme, theme, themes } from "../../shell/theme";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { type Column, List } from "../../ui/list";
import { NewPassword } from "../../ui/newpassword";
import { many } from "../../ui/numbers";
import { Head, Panel, Section } from "../../ui/page";
import { Segments } from "../../ui/segments";
import { Empty, Failure, Waiting } from "../../ui/states";
import { Summary } from "../../ui/summary";
import { Time } from "../../ui/time";
import { useToast } from "../../ui/toast";

/** Account is what one can do about oneself. */
export function Account() {
  const me = useQuery(currentSession);
  if (!me.data) {
    return (
      <>
        <Head title="Your account" />
        {me.error ? (
          <div className="table-wrap">
            <Failure problem={problemOf(me.error)} onRetry={() => void me.refetch()} />
          </div>
        ) : (
          <Waiting />
        )}
      </>
    );
  }
  return (
    <>
      <Head title="Your account" text={`${me.data.person.name || me.data.person.email} · ${me.data.person.email}`} />
      <Passkeys of={me.data} />
      <Password of={me.data} />
      <Sessions />
      <CommandLine of={me.data} />
      <Theme />
    </>
  );
}

function Passkeys({ of }: { of: CurrentSession }) {
  const toast = useToast();
  const all = useQuery(passkeys);
  const add = useAct(
    (_: undefined) => addPasskey(),
    ({ passkey }) => toast(`The passkey ${passkey.name} is added.`),
  );
  const columns: Column<Passkey>[] = [
    { name: "Name", kind: "main", cell: (p) => <span className="strong">{p.name}</span> },
    { name: "Added", cell: (p) => <Time at={p.created_at} /> },
    { name: "Last used", cell: (p) => <Time at={p.last_used_at} /> },
    {
      name: "Actions",
      kind: "actions",
      cell: (p) => <PasskeyActions of={p} last={all.data?.length === 1 && !of.person.has_password} />,
    },
  ];
  return (
    <Section
      title="Passkeys"
      text="A passkey signs you in with your finger, your face or the PIN of a device. Nobody can trick it out of you."
      actions={
        <Button
          busy={add.busy}
          reason={hasPasskeys() ? undefined : "This browser has no passkeys here."}
          onClick={() => add.send(undefined)}
        >
          <Plus aria-hidden /> Add a passkey
        </Button>
      }
    >
      <Summary problem={add.problem} />
      <List
        label="Passkeys"
        query={all}
        rows={all.data ?? []}
        lines={1}
        columns={columns}
        empty={
          <Empty icon={<Fingerprint aria-hidden />} title="No passkeys yet">
            You sign in with a password. A passkey is quicker, and cannot be phished.
          </Empty>
        }
      />
    </Section>
  );
}

function PasskeyActions({ of: p, last }: { of: Passkey; last: boolean }) {
  const toast = useToast();
  const [renaming, setRenaming] = useState(false);
  const remove = useAct(removePasskey, () => toast(`The passkey ${p.name} is removed.`));
  const back = useAct(renamePasskey, () => toast(`The passkey is called ${p.name} again.`));
  const rename = useAct(renamePasskey, ({ passkey }) => {
    setRenaming(false);
    toast(`The passkey is called ${passkey.name}.`, () => back.send({ id: p.id, name: p.name }));
  });
  if (renaming) {
    const submit = (e: FormEvent<HTMLFormElement>) => {
      e.preventDefault();
      rename.send({ id: p.id, name: String(new FormData(e.currentTarget).get("name")).trim() });
    };
    return (
      <form className="row nowrap" onSubmit={submit}>
        <Field
          label="New name"
          name="name"
          required
          maxLength={64}
          defaultValue={p.name}
          error={rename.problem?.detail}
        />
        <Button type="submit" busy={rename.busy}>
          Save
        </Button>
      </form>
    );
  }
  return (
    <div className="row nowrap">
      {remove.problem && <span className="field-error">{remove.problem.detail}</span>}
      <Button kind="plain" onClick={() => setRenaming(true)}>
        Rename<span className="hidden-text"> {p.name}</span>
      </Button>
      <Button
        kind="plain"
        busy={remove.busy}
        reason={last ? "It is all that you can sign in with. Set a password or add another first." : undefined}
        onClick={() => remove.send(p.id)}
      >
        Remove<span className="hidden-text"> {p.name}</span>
      </Button>
    </div>
  );
}

function Password({ of }: { of: CurrentSession }) {
  const toast = useToast();
  const change = useAct(changePassword, ({ ended }) =>
    toast(
      ended > 0 ? `Your password is changed, and ${many(ended, "other session")} ended.` : "Your password is changed.",
    ),
  );
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = e.currentTarget;
    const fields = new FormData(form);
    change.send(
      {
        ...(of.person.has_password && { current: String(fields.get("current")) }),
        new: String(fields.get("new")),
      },
      { onSuccess: () => form.reset() },
    );
  };
  return (
    <Section title="Password" text="A new one ends all your other sessions.">
      <Panel>
        <form className="stack narrow" onSubmit={submit}>
          <Summary problem={change.problem} />
          <input type="text" name="username" autoComplete="username" value={of.person.email} readOnly hidden />
          {of.person.has_password && (
            <Field
              label="Current password"
              name="current"
              type="password"
              required
              autoComplete="current-password"
              error={fieldError(change.problem, "/current")}
            />
          )}
          <NewPassword label="New password" name="new" error={fieldError(change.problem, "/new")} />
          <div className="row">
            <Button type="submit" busy={change.busy}>
              {of.person.has_password ? "Change password" : "Set a password"}
            </Button>
          </div>
        </form>
      </Panel>
    </Section>
  );
}

const browsers = [
  [/Edg\//, "Edge"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
] as const;

const systems = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Mac OS X/, "macOS"],
  [/Windows/, "Windows"],
  [/Linux/, "Linux"],
] as const;

/** browserName is what people call a browser, or what it calls itself. */
export function browserName(agent: string): string {
  const browser = browsers.find(([sign]) => sign.test(agent))?.[1];
  const system = systems.find(([sign]) => sign.test(agent))?.[1];
  if (!browser) return agent || "Unknown browser";
  return system ? `${browser} on ${system}` : browser;
}

const ways: Record<Session["method"], string> = { password: "Password", passkey: "Passkey", sso: "Single sign-on" };

function Sessions() {
  const toast = useToast();
  const all = useQuery(sessions);
  const others = useAct(
    (_: undefined) => endOthers(),
    ({ ended }) => toast(`${many(ended, "session")} ended.`),
  );
  const end = useAct(endSession, () => toast("The session is ended."));
  const columns: Column<Session>[] = [
    {
      name: "Browser",
      kind: "main",
      cell: (s) => (
        <>
          <span className="row">
            <span className="strong one-line">{browserName(s.source.user_agent)}</span>
            {s.current && <Badge tone="ok">This one</Badge>}
          </span>
          <p className="dim small">
            {ways[s.method]} · {s.source.ip}
          </p>
        </>
      ),
    },
    { name: "Signed in", cell: (s) => <Time at={s.created_at} /> },
    { name: "Last seen", cell: (s) => <Time at={s.last_seen_at} /> },
    { name: "Ends", cell: (s) => <Time ahead at={s.expires_at} /> },
    {
      name: "Actions",
      kind: "actions",
      cell: (s) =>
        s.current ? null : (
          <Button kind="plain" busy={end.busy} onClick={() => end.send(s.id)}>
            End<span className="hidden-text"> the session from {s.source.ip}</span>
          </Button>
        ),
    },
  ];
  return (
    <Section
      title="Sessions"
      text="Where you are signed in. Ending one takes effect at once, on every node."
      actions={
        <Button
          busy={others.busy}
          reason={(all.data?.length ?? 2) > 1 ? undefined : "There is no other session."}
          onClick={() => others.send(undefined)}
        >
          End other sessions
        </Button>
      }
    >
      <Summary problem={others.problem ?? end.problem} />
      <List
        label="Sessions"
        query={all}
        rows={all.data ?? []}
        columns={columns}
        empty={
          <Empty icon={<Monitor aria-hidden />} title="No sessions">
            You are not signed in by a browser.
          </Empty>
        }
      />
    </Section>
  );
}

/** isLogin reports whether a key was made by signing in at the command line. */
export function isLogin(k: Pick<Key, "name" | "state">): boolean {
  return k.name.startsWith("cli ") && k.state !== "revoked" && k.state !== "expired";
}

function CommandLine({ of }: { of: CurrentSession }) {
  const ws = of.workspaces.find((w) => w.workspace.id === of.workspace)?.workspace.slug ?? "-";
  const list = useInfiniteQuery(myKeys(ws));
  const columns: Column<Key>[] = [
    {
      name: "Machine",
      kind: "main",
      cell: (k) => (
        <Link className="row-link" to="/w/$ws/settings/api-keys/$key" params={{ ws, key: k.id }}>
          {k.name.slice("cli ".length)}
        </Link>
      ),
    },
    { name: "Signed in", cell: (k) => <Time at={k.created_at} /> },
    { name: "Last used", cell: (k) => <Time at={k.last_used?.at} /> },
    { name: "Ends", cell: (k) => <Time ahead at={k.expires_at} /> },
    {
      name: "Actions",
      kind: "actions",
      cell: (k) => (
        <Link
          className="button"
          data-kind="plain"
          to="/w/$ws/settings/api-keys/$key/revoke"
          params={{ ws, key: k.id }}
          search={{}}
        >
          Revoke<span className="hidden-text"> {k.name}</span>
        </Link>
      ),
    },
  ];
  return (
    <Section title="Command line" text="Where you signed in with postern login. Each has an API key of yours.">
      <List
        label="Command line logins"
        query={list}
        rows={rowsOf(list.data).filter(isLogin)}
        lines={1}
        columns={columns}
        empty={
          <Empty icon={<SquareTerminal aria-hidden />} title="No command line logins" command="postern login">
            Sign in at the command line, and approve the code that it shows here.
          </Empty>
        }
      />
    </Section>
  );
}

function Theme() {
  const [chosen, setChosen] = useState(theme);
  const choose = (next: typeof chosen) => {
    chooseTheme(next);
    setChosen(next);
  };
  return (
    <Section title="Theme" text="On this device.">
      <Segments label="Theme" options={themes} value={chosen} onChange={choose} />
    </Section>
  );
}
