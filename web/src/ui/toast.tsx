import { Toast as Base } from "@base-ui/react/toast";
import type { ReactNode } from "react";
import { Button } from "./button";

/** Toasts shows what was just done, and lets some of it be undone for ten seconds. */
export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Base.Provider timeout={10_000}>
      {children}
      <Base.Portal>
        <Base.Viewport className="toasts">
          <List />
        </Base.Viewport>
      </Base.Portal>
    </Base.Provider>
  );
}

function List() {
  const { toasts } = Base.useToastManager();
  return toasts.map((toast) => (
    <Base.Root key={toast.id} toast={toast} className="toast">
      <Base.Title className="grow" />
      {toast.actionProps && <Base.Action render={<Button />} />}
      <Base.Close aria-label="Dismiss" className="button" data-kind="plain">
        Dismiss
      </Base.Close>
    </Base.Root>
  ));
}

/** useToast returns what tells people that something is done. */
export function useToast(): (text: string, undo?: () => void) => void {
  const { add } = Base.useToastManager();
  return (text, undo) => {
    add({ title: text, ...(undo && { actionProps: { children: "Undo", onClick: undo } }) });
  };
}
