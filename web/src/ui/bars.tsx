import { Tip } from "./tip";

export interface Point {
  t: string;
  ok: number;
  refused: number;
}

const whole = new Intl.NumberFormat();

/** count writes a number as people of this place do. */
export function count(n: number): string {
  return whole.format(n);
}

interface BarsProps {
  points: Point[];
  /** What the bars are of, for those who do not see them. */
  label: string;
  width?: number;
  height?: number;
  /** How the time of a bar is written. */
  when: (t: string) => string;
}

/** Bars are uses over time, accepted and refused one upon the other. Each bar has its
    numbers on hover; all of them together have a sentence. */
export function Bars({ points, label, width = 160, height = 28, when }: BarsProps) {
  const most = Math.max(1, ...points.map((p) => p.ok + p.refused));
  const step = width / Math.max(1, points.length);
  const ok = points.reduce((n, p) => n + p.ok, 0);
  const refused = points.reduce((n, p) => n + p.refused, 0);
  const said = `${label}: ${count(ok)} accepted, ${count(refused)} refused`;
  return (
    <Tip text={said}>
      <svg
        className="bars"
        role="img"
        aria-label={said}
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        tabIndex={0}
      >
        {points.map((p, i) => {
          const x = i * step;
          const w = Math.max(1, step - 1);
          if (p.ok + p.refused === 0) {
            return <rect key={p.t} className="none" x={x} y={height - 1} width={w} height={1} />;
          }
          const high = Math.max(2, (p.ok / most) * height);
          const top = p.refused > 0 ? Math.max(2, (p.refused / most) * height) : 0;
          return (
            <g key={p.t}>
              <title>{`${when(p.t)}: ${count(p.ok)} accepted, ${count(p.refused)} refused`}</title>
              {p.ok > 0 && <rect className="ok" x={x} y={height - high} width={w} height={high} />}
              {p.refused > 0 && (
                <rect
                  className="refused"
                  x={x}
                  y={Math.max(0, height - (p.ok > 0 ? high : 0) - top)}
                  width={w}
                  height={top}
                />
              )}
            </g>
          );
        })}
      </svg>
    </Tip>
  );
}
