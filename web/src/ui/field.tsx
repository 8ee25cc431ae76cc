import { Checkbox as BaseCheckbox } from "@base-ui/react/checkbox";
import { Radio } from "@base-ui/react/radio";
import { RadioGroup } from "@base-ui/react/radio-group";
import { Check, Minus } from "lucide-react";
import { type ComponentProps, type ReactNode, useId } from "react";

interface FieldProps extends Omit<ComponentProps<"input">, "id" | "children"> {
  label: string;
  hint?: ReactNode;
  /** What the server said of it. */
  error?: string | undefined;
  /** What is right about it, where that is worth saying. */
  good?: string | undefined;
}

/** Field is a line of text with a name, a hint, and what is wrong with it. */
export function Field({ label, hint, error, good, required, ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label className="label" htmlFor={id} data-required={required || undefined}>
        {label}
      </label>
      <input
        {...rest}
        id={id}
        className="input"
        required={required}
        data-invalid={error ? "" : undefined}
        aria-invalid={error ? true : undefined}
        aria-describedby={`${id}-hint ${id}-error`}
      />
      {hint && (
        <p id={`${id}-hint`} className="small dim">
          {hint}
        </p>
      )}
      <div aria-live="polite" className="field-said">
        {error && (
          <p id={`${id}-error`} className="field-error">
            {error}
          </p>
        )}
        {good && !error && (
          <p className="field-good">
            <Check aria-hidden /> {good}
          </p>
        )}
      </div>
    </div>
  );
}

/** SelectField is a short list to choose one from, as the system draws it. */
export function SelectField({
  label,
  error,
  children,
  ...rest
}: Omit<ComponentProps<"select">, "id"> & { label: string; error?: string | undefined }) {
  const id = useId();
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {label}
      </label>
      <select {...rest} id={id} className="input" aria-describedby={`${id}-error`}>
        {children}
      </select>
      {error && (
        <p id={`${id}-error`} className="field-error">
          {error}
        </p>
      )}
    </div>
  );
}

export interface Choice {
  value: string;
  title: ReactNode;
  text?: ReactNode;
  /** Shown while it is chosen. */
  more?: ReactNode;
}

interface ChoicesProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  choices: Choice[];
  required?: boolean;
  error?: string | undefined;
}

/** Choices are cards of which one is chosen. */
export function Choices({ label, value, onChange, choices, required, error }: ChoicesProps) {
  const id = useId();
  return (
    <div className="field">
      <span className="label" id={id} data-required={required || undefined}>
        {label}
      </span>
      <RadioGroup
        className="choices"
        aria-labelledby={id}
        value={value}
        onValueChange={(v) => onChange(String(v))}
        {...(required && { required })}
      >
        {choices.map((c) => (
          // biome-ignore lint/a11y/noLabelWithoutControl: the radio inside is the control
          <label className="choice" key={c.value}>
            <Radio.Root className="radio" value={c.value} />
            <strong>{c.title}</strong>
            {c.text && <span className="dim small">{c.text}</span>}
            {c.value === value && c.more}
          </label>
        ))}
      </RadioGroup>
      {error && <p className="field-error">{error}</p>}
    </div>
  );
}

interface CheckProps {
  checked: boolean;
  some?: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
  children: ReactNode;
}

/** CheckBox is on, off, or partly on. */
export function CheckBox({ checked, some, onChange, disabled, children }: CheckProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the checkbox inside is the control
    <label className="check">
      <BaseCheckbox.Root
        className="box"
        checked={checked}
        indeterminate={some ?? false}
        disabled={disabled ?? false}
        onCheckedChange={onChange}
      >
        <BaseCheckbox.Indicator>{some ? <Minus aria-hidden /> : <Check aria-hidden />}</BaseCheckbox.Indicator>
      </BaseCheckbox.Root>
      <span>{children}</span>
    </label>
  );
}

interface AreaProps extends Omit<ComponentProps<"textarea">, "id" | "children"> {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
}

/** TextArea is a field with several lines. */
export function TextArea({ label, hint, error, ...rest }: AreaProps) {
  const id = useId();
  return (
    <div className="field">
      <label className="label" htmlFor={id} data-required={rest.required || undefined}>
        {label}
      </label>
      <textarea
        rows={3}
        {...rest}
        id={id}
        className="input mono"
        data-invalid={error ? "" : undefined}
        aria-invalid={error ? true : undefined}
        aria-describedby={`${id}-hint ${id}-error`}
      />
      {hint && (
        <p id={`${id}-hint`} className="small dim">
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className="field-error">
          {error}
        </p>
      )}
    </div>
  );
}

interface TriProps {
  label: string;
  /** Whether each of what it stands for is on. */
  of: boolean[];
  onChange: (on: boolean) => void;
  disabled: boolean;
  children?: ReactNode;
}

/** TriBox is a checkbox that stands for several, of which some may be on. */
export function TriBox({ label, of, onChange, disabled, children }: TriProps) {
  const all = of.length > 0 && of.every(Boolean);
  const some = !all && of.some(Boolean);
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the checkbox inside is the control
    <label className="check">
      <BaseCheckbox.Root
        className="box"
        aria-label={label}
        checked={all}
        indeterminate={some}
        disabled={disabled}
        onCheckedChange={(on) => onChange(on)}
      >
        <BaseCheckbox.Indicator>{some ? <Minus aria-hidden /> : <Check aria-hidden />}</BaseCheckbox.Indicator>
      </BaseCheckbox.Root>
      {children}
    </label>
  );
}
