import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { lasting } from "./world.mjs";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** wcag is all that a machine can say of WCAG 2.2 AA. */
export const wcag = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** contrast is what is different in other colours. */
export const contrast = ["color-contrast"];

/** axe returns what a page breaks of the rules, and does not stop breaking, one line for each element. */
export const axe = (page, rules = wcag) => lasting(() => broken(page, rules));

/** broken is what a page breaks at this moment. Its policy forbids what is not its own, so axe comes in through the debugger. */
async function broken(page, rules) {
  const session = await page.context().newCDPSession(page);
  const run = async (expression) => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      allowUnsafeEvalBlockedByCSP: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await run(`${source};0`);
  const { violations } = await run(
    `axe.run(document, ${JSON.stringify({ runOnly: rules })}).then(({ violations }) => ({ violations }))`,
  );
  await session.detach();
  return violations.flatMap((v) =>
    v.nodes.map(
      (n) =>
        `${v.id}: ${n.target.join(" ")} ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ""} ${n.html.slice(0, 140)}`,
    ),
  );
}
