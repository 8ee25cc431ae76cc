import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Bot, type LucideIcon, Plus } from "lucide-react";
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useRef, useState } from "react";
import { api, data } from "../api/client";
import { Dialog } from "../ui/dialog";
import { places } from "./shell";

/** usePaletteKey calls open on Ctrl K, or ⌘ K. */
export function usePaletteKey(open: () => void) {
  const latest = useRef(open);
  latest.current = open;
  useEffect(() => {
    const pressed = (e: globalThis.KeyboardEvent) => {
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") {
        e.preventDefault();
        latest.current();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

interface Hit {
  id: string;
  name: string;
  hint: string;
  icon: LucideIcon;
  go: () => void;
}

/** useHits are the places and the service accounts that a text finds. */
function useHits(ws: string, text: string): Hit[] {
  const navigate = useNavigate();
  const asked = useDeferredValue(text);
  const found = useQuery({
    queryKey: [ws, "palette", asked],
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/workspaces/{workspace}/service_accounts", {
          params: { path: { workspace: ws }, query: { limit: 8, ...(asked && { q: asked }) } },
          signal,
        }),
      ),
    placeholderData: (before) => before,
  });
  const doing: Hit = {
    id: "new",
    name: "New service account",
    hint: "Action",
    icon: Plus,
    go: () => navigate({ to: "/w/$ws/settings/service-accounts/new", params: { ws } }),
  };
  const going = places.flatMap((g) =>
    g.of.map((p) => ({
      id: p.to,
      name: p.name,
      hint: g.title ?? "Workspace",
      icon: p.icon,
      go: () => navigate({ to: p.to, params: { ws } }),
    })),
  );
  const matches = (h: Hit) => h.name.toLowerCase().includes(text.toLowerCase());
  const answered = asked === text && !found.isPlaceholderData; // else it is about what was typed before
  const accounts = (found.data?.data ?? []).map((a) => ({
    id: a.id,
    name: a.name,
    hint: "Service account",
    icon: Bot,
    go: () => navigate({ to: "/w/$ws/settings/service-accounts/$sa", params: { ws, sa: a.name } }),
  }));
  return [...[...going, doing].filter(matches), ...(answered ? accounts : accounts.filter(matches))];
}

/** Palette finds a place or a service account by its name. */
export function Palette({ ws, onClose }: { ws: string; onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useId();
  const hits = useHits(ws, text.trim());
  const here = Math.min(at, hits.length - 1);
  const choose = (hit: Hit | undefined) => {
    if (!hit) return;
    onClose();
    hit.go();
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown") setAt((here + 1) % Math.max(1, hits.length));
    else if (e.key === "ArrowUp") setAt((here - 1 + hits.length) % Math.max(1, hits.length));
    else if (e.key === "Enter") choose(hits[here]);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog title="Search" onClose={onClose}>
      <input
        className="input"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={hits[here] ? `${list}-${here}` : undefined}
        aria-label="Search pages and service accounts"
        placeholder="Search pages and service accounts"
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          setAt(0);
        }}
        onKeyDown={onKey}
      />
      <div id={list} role="listbox" aria-label="Found" className="hits">
        {hits.map(({ icon: Icon, ...hit }, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keyboard
          // biome-ignore lint/a11y/useFocusableInteractive: the field above has the focus
          <div
            key={hit.id}
            id={`${list}-${i}`}
            role="option"
            aria-selected={i === here}
            className="menu-item"
            data-highlighted={i === here || undefined}
            onMouseMove={() => setAt(i)}
            onClick={() => choose(hits[i])}
          >
            <Icon aria-hidden />
            <span className="grow">{hit.name}</span>
            <span className="dim small">{hit.hint}</span>
          </div>
        ))}
        {hits.length === 0 && <p className="dim">Nothing is called that.</p>}
      </div>
    </Dialog>
  );
}
