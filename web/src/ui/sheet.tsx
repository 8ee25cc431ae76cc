import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

/** Sheet is what comes from the side where there is no room for it beside the page. */
export function Sheet({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="sheet side">
          <Base.Title className="hidden-text">{title}</Base.Title>
          {children}
          <Base.Close className="button">Close the menu</Base.Close>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
