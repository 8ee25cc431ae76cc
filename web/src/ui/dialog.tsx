import { AlertDialog as BaseAlert } from "@base-ui/react/alert-dialog";
import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type ReactNode, type RefObject, useRef } from "react";
import { IconButton } from "./button";

interface DialogProps {
  title: string;
  description?: ReactNode;
  /** What is called when somebody wants to leave. */
  onClose: () => void;
  wide?: boolean;
  /** Without a way out but what is in it. */
  held?: boolean;
  children: ReactNode;
}

const fields = "input:not([aria-hidden], [type=hidden]), select, textarea, [data-first]";

/** useFirstField returns what a dialog gives the focus to: its first field, or, when
    there is none, itself, so that its title is read. */
function useFirstField() {
  const popup = useRef<HTMLDivElement>(null);
  return { ref: popup, initialFocus: () => popup.current?.querySelector<HTMLElement>(fields) ?? popup.current };
}

/** Dialog stands over the page. It is open for as long as it is rendered: its state
    is the page's address. */
export function Dialog({ title, description, onClose, wide, held, children }: DialogProps) {
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="dialog" data-wide={wide || undefined} {...useFirstField()}>
          <div className="dialog-head">
            <Base.Title className="grow">{title}</Base.Title>
            {!held && (
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
  focus?: RefObject<HTMLElement | null>;
}

/** Confirm asks before something that cannot be undone. A click beside it does not
    answer it. */
export function Confirm({ title, onCancel, focus, children }: ConfirmProps) {
  return (
    <BaseAlert.Root open onOpenChange={(open) => !open && onCancel()}>
      <BaseAlert.Portal>
        <BaseAlert.Backdrop className="backdrop" />
        <BaseAlert.Popup className="dialog" {...(focus && { initialFocus: focus })}>
          <BaseAlert.Title>{title}</BaseAlert.Title>
          <div className="stack">{children}</div>
        </BaseAlert.Popup>
      </BaseAlert.Portal>
    </BaseAlert.Root>
  );
}

/** Drawer shows one thing beside the list that it is in. */
export function Drawer({
  title,
  badge,
  onClose,
  children,
}: {
  title: ReactNode;
  badge?: ReactNode;
  onClose: () => void;
  children: ReactNode;
}) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" data-light />
        <Base.Popup className="drawer" ref={popup} initialFocus={popup}>
          <div className="dialog-head">
            <div className="row grow">
              <Base.Title>{title}</Base.Title>
              {badge}
            </div>
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
