import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { problemOf } from "../api/problem";
import { Failure } from "../ui/states";

/** Nowhere is the page for an address that there is nothing at. */
export function Nowhere() {
  return (
    <div className="empty">
      <Compass aria-hidden />
      <h1>There is nothing at this address</h1>
      <p>What was here may have been renamed, or the link may have lost a part.</p>
      <Link className="button" to="/">
        Go to the overview
      </Link>
    </div>
  );
}

/** Broken is the page for when a page could not be shown at all. */
export function Broken({ error }: { error: unknown }) {
  return <Failure problem={problemOf(error)} onRetry={() => location.reload()} />;
}
