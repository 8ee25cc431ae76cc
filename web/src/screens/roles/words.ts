import { isAdministration } from "../../api/permissions";
import { title } from "../../ui/matrix";

/** inWords says in a few words what some permissions allow. */
export function inWords(permissions: readonly string[]): string {
  if (permissions.length === 0) return "Nothing";
  const byType = new Map<string, string[]>();
  for (const p of permissions) {
    const [type = "", action = ""] = p.split(":");
    byType.set(type, [...(byType.get(type) ?? []), action]);
  }
  const parts = [...byType].map(([type, actions]) => `${doing(actions)} ${subject(type)}`);
  const text = parts.length > 3 ? `${parts.slice(0, 3).join(", ")} and ${parts.length - 3} more` : parts.join(", ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function doing(actions: string[]): string {
  return actions.includes("*") ? "do anything with" : actions.join(", ");
}

function subject(type: string): string {
  if (type === "*") return "everything in the product";
  if (type === "iam.*") return "all settings";
  const [name = "", id] = type.split("/");
  const words = title(name).toLowerCase();
  if (isAdministration(type)) return words === "settings" ? "settings" : `${words} (settings)`;
  return id ? `${words} ${id}` : words;
}
