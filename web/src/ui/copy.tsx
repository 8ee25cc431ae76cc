import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button, IconButton } from "./button";

/** useCopy copies text, and says for two seconds that it did. */
function useCopy(text: string): [copied: boolean, copy: () => void] {
  const [copied, set] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => set(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  return [copied, () => void navigator.clipboard.writeText(text).then(() => set(true))];
}

/** CopyButton copies a text that stands beside it. */
export function CopyButton({
  text,
  children = "Copy",
  kind = "default",
}: {
  text: string;
  children?: string;
  kind?: "default" | "primary" | "plain";
}) {
  const [copied, copy] = useCopy(text);
  return (
    <Button kind={kind} onClick={copy}>
      {copied ? <Check aria-hidden /> : <Copy aria-hidden />}
      <span aria-live="polite">{copied ? "Copied" : children}</span>
    </Button>
  );
}

/** CopyIcon copies a short text, such as an id. */
export function CopyIcon({ text, label }: { text: string; label: string }) {
  const [copied, copy] = useCopy(text);
  return (
    <IconButton label={copied ? "Copied" : label} onClick={copy}>
      {copied ? <Check aria-hidden /> : <Copy aria-hidden />}
    </IconButton>
  );
}
