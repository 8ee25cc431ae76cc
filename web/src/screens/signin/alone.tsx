import { DoorOpen } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";

/** Alone is a page without anything around it: who is here is not signed in yet. */
export function Alone({ title, text, children }: { title: string; text?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} – Postern`;
  }, [title]);
  return (
    <main className="alone" id="main">
      <p className="brand">
        <DoorOpen aria-hidden /> Postern
      </p>
      <div className="panel alone-panel stack">
        <header>
          <h1>{title}</h1>
          {text && <div className="dim">{text}</div>}
        </header>
        {children}
      </div>
    </main>
  );
}

/** useFragment is what stands behind the # of the address, which is taken from there
    at once: neither the history nor a screenshot of the address keeps it. */
export function useFragment(): string {
  const [text] = useState(() => decodeURIComponent(location.hash.slice(1)));
  useEffect(() => {
    if (location.hash) history.replaceState(history.state, "", location.pathname + location.search);
  }, []);
  return text;
}

/** inside returns where somebody wanted to go, if it is a place in the console. */
export function inside(to: string | undefined): string {
  return to && /^\/(?![/\\])/.test(to) ? to : "/";
}
