import { CircleAlert, Lock } from "lucide-react";
import type { ReactNode } from "react";
import type { Problem } from "../api/problem";
import { Button } from "./button";
import { CopyIcon } from "./copy";

/** Skeleton stands for rows that are on their way, as high as they will be. */
export function SkeletonRows({ rows = 5, columns }: { rows?: number; columns: number }) {
  return Array.from({ length: rows }, (_, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
    <tr key={row} aria-hidden>
      {Array.from({ length: columns }, (_, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
        <td key={column}>
          <span className="skeleton" />
        </td>
      ))}
    </tr>
  ));
}

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
        {command && <CopyCommand command={command} />}
      </div>
    </div>
  );
}

function CopyCommand({ command }: { command: string }) {
  return (
    <Button kind="plain" onClick={() => void navigator.clipboard.writeText(command)}>
      Copy the CLI command
    </Button>
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
