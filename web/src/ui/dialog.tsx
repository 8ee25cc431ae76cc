import { AlertDialog as BaseAlert } from "@base-ui/react/alert-dialog";
import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import type { ReactNode, RefObject } from "react";
import { IconButton } from "./button";

interface DialogProps {
  title: string;
  description?: ReactNode;
  /** What is called when somebody wants to leave. Without it nobody can. */
  onClose?: (() => void) | undefined;
  wide?: boolean;
  /** Where the focus goes first; the first field if nothing is said. */
  focus?: RefObject<HTMLElement | null>;
  children: ReactNode;
}

/** Dialog stands over the page. It is open for as long as it is rendered: its state
    is the page's address. */
export function Dialog({ title, description, onClose, wide, focus, children }: DialogProps) {
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose?.()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="dialog" data-wide={wide || undefined} {...(focus && { initialFocus: focus })}>
          <div className="row">
            <Base.Title className="grow">{title}</Base.Title>
            {onClose && (
              <IconButton label="Close" onClick={onClose}>
                <X aria-hidden />
              </IconButton>
            )}
          </div>
          {description && <Base.Description className="dim">{description}</Base.Description>}
          <div className="stack">{children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

interface ConfirmProps {
  title: string;
  onCancel: () => void;
  children: ReactNode;
  /** What the focus goes to first: what does no harm. */
  focus: RefObject<HTMLElement | null>;
}

/** Confirm asks before something that cannot be undone. A click beside it does not
    answer it. */
export function Confirm({ title, onCancel, focus, children }: ConfirmProps) {
  return (
    <BaseAlert.Root open onOpenChange={(open) => !open && onCancel()}>
      <BaseAlert.Portal>
        <BaseAlert.Backdrop className="backdrop" />
        <BaseAlert.Popup className="dialog" initialFocus={focus}>
          <BaseAlert.Title>{title}</BaseAlert.Title>
          <div className="stack">{children}</div>
        </BaseAlert.Popup>
      </BaseAlert.Portal>
    </BaseAlert.Root>
  );
}

/** Drawer shows one thing beside the list that it is in. */
export function Drawer({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="drawer">
          <div className="row">
            <Base.Title className="grow">{title}</Base.Title>
            <IconButton label="Close" onClick={onClose}>
              <X aria-hidden />
            </IconButton>
          </div>
          <div className="stack">{children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
