import type { ComponentProps, ReactNode } from "react";
import { Tip } from "./tip";

type Kind = "default" | "primary" | "danger" | "plain" | "icon";

interface ButtonProps extends Omit<ComponentProps<"button">, "disabled"> {
  kind?: Kind;
  /** Why it cannot be pressed now. The button stays where it is, and says so. */
  reason?: string | undefined;
  busy?: boolean;
}

/** Button acts. One that cannot be used says why, rather than not being there. */
export function Button({ kind = "default", reason, busy, children, onClick, type = "button", ...rest }: ButtonProps) {
  const off = reason !== undefined || busy === true;
  const button = (
    <button
      {...rest}
      type={type}
      className="button"
      data-kind={kind}
      aria-disabled={off || undefined}
      aria-busy={busy || undefined}
      onClick={(e) => (off ? e.preventDefault() : onClick?.(e))}
    >
      {children}
    </button>
  );
  return reason === undefined ? button : <Tip text={reason}>{button}</Tip>;
}

interface IconButtonProps extends Omit<ButtonProps, "kind" | "children"> {
  /** What it does, for those who do not see the icon and for those who wonder. */
  label: string;
  children: ReactNode;
}

/** IconButton is a button with no room for words. */
export function IconButton({ label, reason, children, ...rest }: IconButtonProps) {
  const button = (
    <Button {...rest} kind="icon" aria-label={label}>
      {children}
    </Button>
  );
  return <Tip text={reason ?? label}>{button}</Tip>;
}
