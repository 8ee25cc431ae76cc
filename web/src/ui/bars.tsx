import { brief, count } from "./numbers";
import { Tip } from "./tip";

export interface Point {
  t: string;
  ok: number;
  refused: number;
}

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const minute = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** when writes the time of a bar, as exactly as bars of its sort are. */
export function when(t: string, step: string): string {
  return (step === "1d" ? day : minute).format(Date.parse(t));
}

/** total is how often something was used in all steps together. */
export function total(points: Point[]): { ok: number; refused: number } {
  return points.reduce((sum, p) => ({ ok: sum.ok + p.ok, refused: sum.refused + p.refused }), { ok: 0, refused: 0 });
}

interface BarsProps {
  points: Point[];
  step: string;
  /** What the bars are of, for those who do not see them. */
  label: string;
  width?: number;
  height?: number;
}

/** Bars are uses over time, accepted and refused one upon the other. Each bar has its
    numbers on hover; all of them together have a sentence. */
export function Bars({ points, step, label, width = 150, height = 28 }: BarsProps) {
  const sum = total(points);
  const said = `${label}: ${count(sum.ok)} accepted, ${count(sum.refused)} refused`;
  return (
    <Tip text={said}>
      <svg className="bars" role="img" aria-label={said} viewBox={`0 0 ${width} ${height}`} tabIndex={0}>
        {points.map((p, i) => (
          <Bar
            key={p.t}
            point={p}
            step={step}
            x={(i * width) / points.length}
            most={most(points)}
            of={{ points, width, height }}
          />
        ))}
      </svg>
    </Tip>
  );
}

function most(points: Point[]): number {
  return Math.max(1, ...points.map((p) => p.ok + p.refused));
}

interface BarProps {
  point: Point;
  step: string;
  x: number;
  most: number;
  of: { points: Point[]; width: number; height: number };
}

function Bar({ point: p, step, x, most, of }: BarProps) {
  const wide = Math.max(1, of.width / of.points.length - 1);
  const high = (n: number) => (n === 0 ? 0 : Math.max(2, (n / most) * (of.height - 2)));
  const [ok, refused] = [high(p.ok), high(p.refused)];
  return (
    <g>
      <title>{`${when(p.t, step)}: ${count(p.ok)} accepted, ${count(p.refused)} refused`}</title>
      <rect className="reach" x={x} y={0} width={wide} height={of.height} />
      {p.ok + p.refused === 0 && <rect className="none" x={x} y={of.height - 1} width={wide} height={1} />}
      {ok > 0 && <rect className="ok" x={x} y={of.height - ok} width={wide} height={ok} rx={Math.min(1, wide / 3)} />}
      {refused > 0 && <rect className="refused" x={x} y={of.height - ok - refused} width={wide} height={refused} />}
    </g>
  );
}

interface TrafficProps {
  /** undefined: it is not known yet. */
  of: { points: Point[] } | undefined;
  step: string;
  label: string;
}

/** Traffic is bars with their number beside them, as it stands in the row of a list. */
export function Traffic({ of, step, label }: TrafficProps) {
  if (!of) {
    return <div className="traffic" />;
  }
  const sum = total(of.points);
  return (
    <div className="traffic">
      <Bars points={of.points} step={step} label={label} width={110} />
      <span className="small number">
        {brief(sum.ok)}
        {sum.refused > 0 && <span className="refused-text"> · {brief(sum.refused)} refused</span>}
      </span>
    </div>
  );
}

/** Chart is bars with the table of their numbers behind them. */
export function Chart({ points, step, label }: Pick<BarsProps, "points" | "step" | "label">) {
  const used = points.filter((p) => p.ok + p.refused > 0);
  return (
    <figure className="chart">
      <Bars points={points} step={step} label={label} width={720} height={96} />
      <div className="row small dim chart-ends">
        <span>{points[0] && when(points[0].t, step)}</span>
        <span className="grow" />
        <span>{points.length > 0 && when(points[points.length - 1]?.t ?? "", step)}</span>
      </div>
      <details className="small">
        <summary>Show as a table</summary>
        <table data-matrix aria-label={label}>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">Accepted</th>
              <th scope="col">Refused</th>
            </tr>
          </thead>
          <tbody>
            {used.map((p) => (
              <tr key={p.t}>
                <td>{when(p.t, step)}</td>
                <td className="number">{count(p.ok)}</td>
                <td className="number">{count(p.refused)}</td>
              </tr>
            ))}
            {used.length === 0 && (
              <tr>
                <td colSpan={3}>No use in this time.</td>
              </tr>
            )}
          </tbody>
        </table>
      </details>
    </figure>
  );
}
