import { useQuery } from "@tanstack/react-query";
import { allows } from "./permissions";
import { whoami } from "./queries";

/** useMay returns what says why something cannot be done: undefined when it can, or
    while it is not known. The server decides; this spares a try. */
export function useMay(): (permission: string) => string | undefined {
  const me = useQuery(whoami);
  return (permission) =>
    me.data && !allows(me.data.permissions, permission)
      ? `This needs ${permission}, which your role does not have. An Admin or Owner can give it to you.`
      : undefined;
}

/** useAllowed returns what says whether something can be done, and no while that is not
    known: what is not allowed need not be asked for. */
export function useAllowed(): (permission: string) => boolean {
  const me = useQuery(whoami);
  return (permission) => me.data !== undefined && allows(me.data.permissions, permission);
}
