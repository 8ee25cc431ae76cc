import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";

const icons = { info: Info, ok: CircleCheck, warn: TriangleAlert, danger: CircleAlert };

/** Note is a sentence that stands out, with an icon for those who do not see colours. */
export function Note({ tone = "info", children }: { tone?: keyof typeof icons; children: ReactNode }) {
  const Icon = icons[tone];
  return (
    <div className="note" data-tone={tone}>
      <Icon aria-hidden />
      <div>{children}</div>
    </div>
  );
}
