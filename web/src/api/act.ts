import { useMutation, useQueryClient } from "@tanstack/react-query";
import { problemOf } from "./problem";
import { renew } from "./renew";
import { stepUp } from "./stepup";

/** useAct does something about oneself: signing in, a passkey, a session. What is
    known of oneself is asked anew after. */
export function useAct<In, Out>(run: (body: In) => Promise<Out>, then?: (out: Out) => void) {
  const queries = useQueryClient();
  const mutation = useMutation({
    gcTime: 0,
    mutationFn: async (body: In) => {
      try {
        return await run(body);
      } catch (error) {
        if (problemOf(error).code !== "step_up_required") throw error;
        await stepUp();
        return await run(body);
      }
    },
    onSuccess: (out) => {
      for (const queryKey of [["session"], ["sessions"], ["passkeys"], ["whoami"]]) renew(queries, queryKey);
      then?.(out);
    },
  });
  return {
    send: mutation.mutate,
    busy: mutation.isPending,
    problem: mutation.error ? problemOf(mutation.error) : undefined,
  };
}
