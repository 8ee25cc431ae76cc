import { Menu as Base } from "@base-ui/react/menu";
import { MoreHorizontal } from "lucide-react";
import type { ReactNode } from "react";
import { IconButton } from "./button";

/** Menu is a list of what can be done with one thing, behind a button with a name. */
export function Menu({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Base.Root>
      <Base.Trigger
        render={
          <IconButton label={label}>
            <MoreHorizontal aria-hidden />
          </IconButton>
        }
      />
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="end">
          <Base.Popup className="menu">{children}</Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}

interface ItemProps {
  onSelect: () => void;
  kind?: "danger";
  /** Why it cannot be chosen now. */
  reason?: string | undefined;
  children: ReactNode;
}

/** MenuItem is one thing that can be done. */
export function MenuItem({ onSelect, kind, reason, children }: ItemProps) {
  return (
    <Base.Item
      className="menu-item"
      data-kind={kind}
      disabled={reason !== undefined}
      onClick={onSelect}
      {...(reason && { title: reason })}
    >
      {children}
    </Base.Item>
  );
}

/** MenuLine parts what belongs apart. */
export function MenuLine() {
  return <Base.Separator className="menu-line" />;
}
