/** Pattern is one grant, taken apart: type, id and action. */
interface Pattern {
  type: string;
  /** undefined: the whole type. */
  id: string | undefined;
  action: string;
}

function parse(text: string): Pattern {
  const [subject = "", action = ""] = text.split(":");
  const slash = subject.indexOf("/");
  return slash < 0
    ? { type: subject, id: undefined, action }
    : { type: subject.slice(0, slash), id: subject.slice(slash + 1), action };
}

/** isAdministration reports whether a type is Postern's own. */
export function isAdministration(type: string): boolean {
  return type.startsWith("iam.");
}

function coversType(grant: string, asked: string): boolean {
  if (grant === asked) return true;
  if (grant === "iam.*") return isAdministration(asked) && asked !== "iam.owners";
  return grant === "*" && !isAdministration(asked);
}

function coversID(grant: string | undefined, asked: string | undefined): boolean {
  if (grant === undefined || grant === asked) return true;
  if (asked === undefined || !grant.endsWith("*")) return false;
  return asked.startsWith(grant.slice(0, -1));
}

/** covers reports whether one grant covers another, component by component. The
    server decides; this only says beforehand what it will. */
export function covers(grant: string, asked: string): boolean {
  const [g, a] = [parse(grant), parse(asked)];
  return coversType(g.type, a.type) && coversID(g.id, a.id) && (g.action === "*" || g.action === a.action);
}

/** allows reports whether a set of grants allows a permission. */
export function allows(grants: readonly string[], asked: string): boolean {
  return grants.some((g) => covers(g, asked));
}
