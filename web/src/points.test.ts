import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, it } from "vitest";

const read = (path: string) => readFileSync(resolve(import.meta.dirname, "..", path), "utf8");

// What the console must show is a list of ten; where each is shown is written down for
// those who look for it.
it("has a test in the browser for each of the ten points", () => {
  const rows = [...read("../CONTRIBUTING.md").matchAll(/^\| (\d+) \| [^|]+ \| `([^`]+)` \| (.+) \|$/gm)];
  expect(rows.map(([, n]) => Number(n))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  for (const [, , file = "", title = ""] of rows) {
    expect(read(`browser/${file}`), `${file} has no test named so`).toMatch(
      new RegExp(`(it|describe)\\(["\`]${title.replace(/[.()]/g, "\\$&")}`),
    );
  }
});

it("listens in every file for what the policy refuses and what goes wrong", () => {
  const files = ["admin", "docs", "keyboard", "nodes", "path", "people", "rotation", "screens"];
  for (const file of files) expect(read(`browser/${file}.test.mjs`)).toMatch(/browser\.wrong/);
});
