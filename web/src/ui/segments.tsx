import { Radio } from "@base-ui/react/radio";
import { RadioGroup } from "@base-ui/react/radio-group";
import { useId } from "react";

interface SegmentsProps<V extends string> {
  label: string;
  options: readonly { value: V; label: string }[];
  value: V;
  onChange: (value: V) => void;
  /** It is what a dialog gives the focus to. */
  first?: boolean;
}

/** Segments are a few choices side by side, of which one is taken. */
export function Segments<V extends string>({ label, options, value, onChange, first }: SegmentsProps<V>) {
  const id = useId();
  return (
    <div className="field">
      <span className="label" id={id}>
        {label}
      </span>
      <RadioGroup className="segments" aria-labelledby={id} value={value} onValueChange={(v) => onChange(v as V)}>
        {options.map((o) => (
          // biome-ignore lint/a11y/noLabelWithoutControl: the radio inside is the control
          <label key={o.value} className="segment">
            <Radio.Root
              className="segment-radio"
              value={o.value}
              data-first={first && o.value === value ? "" : undefined}
            />
            {o.label}
          </label>
        ))}
      </RadioGroup>
    </div>
  );
}
