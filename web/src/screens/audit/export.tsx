import { present } from "../../api/lists";
import { useMay } from "../../api/me";
import { Menu, MenuItem } from "../../ui/menu";

/** Export has the browser save all events that some filters let through. */
export function Export({ ws, search }: { ws: string; search: object }) {
  const may = useMay()("iam.audit:export");
  const get = (format: string) => {
    const query = new URLSearchParams({ ...(present(search) as Record<string, string>), format });
    const link = document.createElement("a");
    link.href = `/v1/workspaces/${encodeURIComponent(ws)}/audit_events/export?${query}`;
    link.download = `audit.${format}`;
    link.click();
  };
  return (
    <Menu
      label="Export"
      trigger={
        <button type="button" className="button">
          Export
        </button>
      }
    >
      <MenuItem reason={may} onSelect={() => get("jsonl")}>
        As JSON lines
      </MenuItem>
      <MenuItem reason={may} onSelect={() => get("csv")}>
        As CSV
      </MenuItem>
    </Menu>
  );
}
