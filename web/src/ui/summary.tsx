import { useEffect, useRef } from "react";
import type { Problem } from "../api/problem";
import { Note } from "./note";

/** Summary says what the server found wrong with a form. It takes the focus, so that
    it is heard; each field says its own part again. */
export function Summary({ problem }: { problem: Problem | undefined }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (problem) place.current?.focus();
  }, [problem]);
  if (!problem) {
    return null;
  }
  return (
    <div ref={place} tabIndex={-1} role="alert">
      <Note tone="danger">
        <strong>{problem.title}</strong>
        {problem.errors && problem.errors.length > 0 ? (
          <ul>
            {problem.errors.map((e) => (
              <li key={e.pointer + e.code}>
                {e.pointer.replace(/^\//, "").replaceAll("/", " ").replaceAll("_", " ")} {e.detail}
              </li>
            ))}
          </ul>
        ) : (
          <p>{problem.detail}</p>
        )}
      </Note>
    </div>
  );
}
