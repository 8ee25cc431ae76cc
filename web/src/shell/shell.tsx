import { Link, Outlet, useParams } from "@tanstack/react-router";
import { Bot } from "lucide-react";

/** Shell is what stands around every page of a workspace: where one is, and where
    one can go. */
export function Shell() {
  const { ws } = useParams({ from: "/w/$ws" });
  return (
    <div className="shell">
      <a className="button skip" href="#main">
        Skip to the page
      </a>
      <nav className="nav" aria-label="Main">
        <p className="nav-title">Settings</p>
        <Link className="nav-link" to="/w/$ws/settings/service-accounts" params={{ ws }}>
          <Bot aria-hidden />
          Service accounts
        </Link>
      </nav>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}
