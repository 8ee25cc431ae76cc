import { Switch as Base } from "@base-ui/react/switch";
import type { ReactNode } from "react";

interface SwitchProps {
  checked: boolean;
  onChange: (on: boolean) => void;
  children: ReactNode;
}

/** Switch turns something on or off at once. */
export function Switch({ checked, onChange, children }: SwitchProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the switch inside is the control
    <label className="check switch-row">
      <Base.Root className="switch" checked={checked} onCheckedChange={onChange}>
        <Base.Thumb className="switch-thumb" />
      </Base.Root>
      <span>{children}</span>
    </label>
  );
}
