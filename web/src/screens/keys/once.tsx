import { useBlocker } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { useState } from "react";
import { Button } from "../../ui/button";
import { CopyButton } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { CheckBox } from "../../ui/field";
import { Note } from "../../ui/note";
import { PickTabs } from "../../ui/picktabs";

interface OnceProps {
  title: string;
  /** The value. Whoever renders this forgets it when it is done. */
  value: string;
  name: string;
  onDone: () => void;
}

/** snippets show how a value is used where it is likely to be. */
function snippets(value: string, name: string) {
  const secret = name.replace(/[^a-z0-9-]/gi, "-").toLowerCase();
  return [
    { name: "curl", text: `curl -H "Authorization: Bearer ${value}" https://api.example.com/` },
    { name: "GitHub Actions", text: `printf '%s' '${value}' | gh secret set POSTERN_KEY` },
    {
      name: "Kubernetes",
      text: `kubectl create secret generic ${secret} --from-literal=POSTERN_KEY='${value}'`,
    },
    { name: "Docker", text: `printf '%s' '${value}' | docker secret create ${secret} -` },
  ];
}

/** Once shows a value, which nobody can show again. Nothing closes it by accident. */
export function Once({ title, value, name, onDone }: OnceProps) {
  const [stored, setStored] = useState(false);
  const [warned, setWarned] = useState(false);
  const blocker = useBlocker({ shouldBlockFn: () => !stored, enableBeforeUnload: () => !stored, withResolver: true });
  const hold = () => (stored ? onDone() : setWarned(true));
  const blocked = blocker.status === "blocked" || warned;
  return (
    <Dialog title={title} onClose={hold} held wide>
      <div className="row">
        <code className="secret" data-first tabIndex={-1}>
          {value}
        </code>
        <CopyButton kind="primary" text={value} />
        <Button onClick={() => download(`POSTERN_KEY=${value}\n`, `${name}.env`)}>
          <Download aria-hidden /> Download .env
        </Button>
      </div>
      <Note tone={blocked && !stored ? "danger" : "warn"}>
        <span role={blocked ? "alert" : undefined}>
          {blocked && !stored && <strong>Store it first. </strong>}
          This is the only time you can see this value. Postern keeps only a fingerprint.
        </span>
      </Note>
      <PickTabs label="How to use it" tabs={snippets(value, name)} />
      <div className="row" data-end>
        <CheckBox checked={stored} onChange={setStored}>
          I have stored it
        </CheckBox>
        <span className="grow" />
        <Button kind="primary" reason={stored ? undefined : "Say first that you have stored it."} onClick={onDone}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}

/** download gives a text to the browser as a file. */
function download(text: string, name: string) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
