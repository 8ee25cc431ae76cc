const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** count writes a number as people of this place do. */
export function count(n: number): string {
  return whole.format(n);
}

/** brief writes a large number in a few characters. */
export function brief(n: number): string {
  return n < 10_000 ? whole.format(n) : short.format(n);
}

/** many writes a number and the word for what is counted. */
export function many(n: number, one: string, more = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : more}`;
}
