import { Tooltip } from "@base-ui/react/tooltip";
import type { ReactElement } from "react";

/** Tip shows a few words on hover and focus. The words are a description, so that
    they are read out too. */
export function Tip({ text, children }: { text: string; children: ReactElement }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger delay={200} render={children} />
      <Tooltip.Portal>
        <Tooltip.Positioner sideOffset={6}>
          <Tooltip.Popup className="tip">{text}</Tooltip.Popup>
        </Tooltip.Positioner>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}

/** Tips lets the tips of a page follow each other without delay. */
export const Tips = Tooltip.Provider;
