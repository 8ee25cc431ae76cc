import { Search } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";

/** Filters stand in a row over a list. */
export function Filters({ children }: { children: ReactNode }) {
  return <search className="filters">{children}</search>;
}

interface SearchProps {
  label: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}

const pause = 200; // milliseconds without a key stroke, after which it is searched

/** SearchField is where one types what a list is searched for. */
export function SearchField({ label, value, onChange }: SearchProps) {
  const [typed, setTyped] = useState(value ?? "");
  const told = useRef(value ?? "");
  const tell = useRef(onChange);
  tell.current = onChange;
  useEffect(() => {
    // The address changed by something else than typing, such as "Clear filters".
    if ((value ?? "") !== told.current) {
      told.current = value ?? "";
      setTyped(value ?? "");
    }
  }, [value]);
  useEffect(() => {
    if (typed === told.current) return;
    const timer = setTimeout(() => {
      told.current = typed;
      tell.current(typed.trim() || undefined);
    }, pause);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <div className="search-field">
      <Search aria-hidden />
      <input
        className="input"
        type="search"
        aria-label={label}
        placeholder={label}
        value={typed}
        onChange={(e) => setTyped(e.target.value)}
      />
    </div>
  );
}

interface SelectProps<V extends string> {
  label: string;
  value: V | undefined;
  onChange: (value: V | undefined) => void;
  /** What stands for no choice. */
  none: string;
  options: readonly { value: V; label: string }[];
  /** It is there only where there is no room for what stands in its place. */
  narrow?: boolean;
}

/** SelectFilter narrows a list to one value. */
export function SelectFilter<V extends string>({ label, value, onChange, none, options, narrow }: SelectProps<V>) {
  return (
    <select
      className={narrow ? "input narrow-only" : "input"}
      aria-label={label}
      value={value ?? ""}
      data-set={value ? "" : undefined}
      onChange={(e) => onChange((e.target.value || undefined) as V | undefined)}
    >
      <option value="">{none}</option>
      {options.map((o) => (
        <option key={o.value} value={o.value}>
          {o.label}
        </option>
      ))}
    </select>
  );
}
