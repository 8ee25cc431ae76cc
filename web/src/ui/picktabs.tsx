import { Tabs } from "@base-ui/react/tabs";
import { CopyIcon } from "./copy";

/** PickTabs shows one of several texts to copy. */
export function PickTabs({ label, tabs }: { label: string; tabs: { name: string; text: string }[] }) {
  return (
    <Tabs.Root defaultValue={tabs[0]?.name ?? ""} className="stack" data-tight>
      <Tabs.List className="pick" aria-label={label}>
        {tabs.map((t) => (
          <Tabs.Tab key={t.name} value={t.name} className="pick-tab">
            {t.name}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((t) => (
        <Tabs.Panel key={t.name} value={t.name} className="snippet-row">
          <code className="snippet">{t.text}</code>
          <CopyIcon text={t.text} label={`Copy the command for ${t.name}`} />
        </Tabs.Panel>
      ))}
    </Tabs.Root>
  );
}
