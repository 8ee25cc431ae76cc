import { turnKey, useChange } from "../../api/changes";
import type { Key } from "../../api/queries";
import { useToast } from "../../ui/toast";

/** useTurnKey returns what pauses a key, or resumes one that is paused. */
export function useTurnKey(ws: string, k: Key): () => void {
  const toast = useToast();
  const resume = k.state === "paused";
  const change = useChange(
    ws,
    (_: undefined, headers) =>
      turnKey(
        ws,
        k.id,
        resume ? "resume" : "pause",
      )({}, headers).catch((error) => {
        toast(`${k.name} could not be ${resume ? "resumed" : "paused"}: ${error.message}`);
        throw error;
      }),
    () => toast(resume ? `${k.name} is resumed.` : `${k.name} is paused: it is refused until it is resumed.`),
  );
  return () => change.send(undefined);
}
