import { Menu as Base } from "@base-ui/react/menu";
import { Check, MoreHorizontal } from "lucide-react";
import type { ReactElement, ReactNode } from "react";

interface MenuProps {
  label: string;
  /** What opens it; three dots if nothing is said. */
  trigger?: ReactElement;
  children: ReactNode;
}

/** Menu is a list of what can be done with one thing, behind a button with a name. */
export function Menu({ label, trigger, children }: MenuProps) {
  return (
    <Base.Root>
      <Base.Trigger
        render={
          trigger ?? (
            <button type="button" className="button" data-kind="icon">
              <MoreHorizontal aria-hidden />
            </button>
          )
        }
        aria-label={trigger ? undefined : label}
      />
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="end" className="above">
          <Base.Popup className="menu" aria-label={label}>
            {children}
          </Base.Popup>
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

/** MenuItem is one thing that can be done. One that cannot be says why. */
export function MenuItem({ onSelect, kind, reason, children }: ItemProps) {
  return (
    <Base.Item className="menu-item" data-kind={kind} disabled={reason !== undefined} onClick={onSelect}>
      {children}
      {reason && <span className="menu-reason">{reason}</span>}
    </Base.Item>
  );
}

/** MenuLink leads out of the console, in a new tab. */
export function MenuLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <Base.LinkItem className="menu-item" href={href} target="_blank" rel="noreferrer" closeOnClick>
      {children}
    </Base.LinkItem>
  );
}

/** MenuTitle names what follows. */
export function MenuTitle({ children }: { children: ReactNode }) {
  return <p className="menu-title">{children}</p>;
}

interface ChoiceProps<V extends string> {
  options: readonly { value: V; label: string }[];
  value: V;
  onChange: (value: V) => void;
}

/** MenuChoice lets one of several be chosen. */
export function MenuChoice<V extends string>({ options, value, onChange }: ChoiceProps<V>) {
  return (
    <Base.RadioGroup value={value} onValueChange={(v) => onChange(v as V)}>
      {options.map((o) => (
        <Base.RadioItem key={o.value} value={o.value} className="menu-item" closeOnClick>
          <span className="menu-mark">
            <Base.RadioItemIndicator>
              <Check aria-hidden />
            </Base.RadioItemIndicator>
          </span>
          {o.label}
        </Base.RadioItem>
      ))}
    </Base.RadioGroup>
  );
}

/** MenuLine parts what belongs apart. */
export function MenuLine() {
  return <Base.Separator className="menu-line" />;
}
