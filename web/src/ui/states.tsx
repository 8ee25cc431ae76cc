import { CircleAlert, Lock } from "lucide-react";
import type { ReactNode } from "react";
import type { Problem } from "../api/problem";
import { Button } from "./button";
import { CopyButton, CopyIcon } from "./copy";

interface EmptyProps {
  icon: ReactNode;
  title: string;
  children: ReactNode;
  action?: ReactNode;
  command?: string;
}

/** Empty says what would be here, and how to begin. */
export function Empty({ icon, title, children, action, command }: EmptyProps) {
  return (
    <div className="empty">
      {icon}
      <h2>{title}</h2>
      <p>{children}</p>
      <div className="row">
        {action}
        {command && (
          <CopyButton kind="plain" text={command}>
            Copy the CLI command
          </CopyButton>
        )}
      </div>
    </div>
  );
}

/** NoMatch says that filters left nothing. */
export function NoMatch({ onClear }: { onClear: () => void }) {
  return (
    <div className="empty">
      <h2>Nothing matches these filters</h2>
      <Button onClick={onClear}>Clear filters</Button>
    </div>
  );
}

/** Failure says what went wrong, with what support will ask for. */
export function Failure({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  if (problem.code === "permission_denied") {
    return (
      <div className="empty" role="alert">
        <Lock aria-hidden />
        <h2>You may not see this</h2>
        <p>
          It needs the permission <code>{problem.permission ?? "that your role does not have"}</code>. An Admin or Owner
          of this workspace can give it to you.
        </p>
      </div>
    );
  }
  return (
    <div className="empty" role="alert">
      <CircleAlert aria-hidden />
      <h2>{problem.title}</h2>
      <p>{problem.detail}</p>
      {problem.request_id && (
        <p className="small dim row">
          Request <code>{problem.request_id}</code>
          <CopyIcon text={problem.request_id} label="Copy the request's id" />
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** Waiting stands where something is on its way that is no list. */
export function Waiting({ label = "Loading" }: { label?: string }) {
  return (
    <div className="waiting" role="status">
      <span className="hidden-text">{label}</span>
      <span className="skeleton" />
      <span className="skeleton" />
      <span className="skeleton" />
    </div>
  );
}
