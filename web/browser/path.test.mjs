// The path of the page that the product is named after, by the exact names of what is
// clicked; what a value shown once leaves behind; and how soon a call is seen.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser, becomes, clipboard, Server, until } from "./world.mjs";

let server;
let browser;

before(async () => {
  server = await Server.start();
  browser = await Browser.start();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

/** button and link find what has exactly a name. */
const button = (page, name) => page.getByRole("button", { name, exact: true });
const link = (page, name) => page.getByRole("link", { name, exact: true });

describe("from nothing to a key", () => {
  let page;
  let value;
  let clicks = 0;
  const click = async (what) => {
    clicks++;
    await what.click();
  };

  it("takes six clicks from the list to a call that is verified", async () => {
    page = await browser.page(server);
    await page.goto("/w/acme");
    await click(link(page.getByRole("navigation", { name: "Main" }), "Service accounts"));
    await page.getByText("No service accounts yet", { exact: true }).waitFor();
    await click(button(page, "New service account").first());
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("support-bot-prod");
    await page.getByRole("textbox", { name: "Description", exact: true }).fill("Owner: Support Platform");
    await page
      .getByRole("radio", { name: /^Operator – execute and read/ })
      .and(page.locator("[data-checked]"))
      .waitFor();
    await click(button(page, "Create"));
    await page.getByRole("heading", { name: "support-bot-prod", exact: true }).waitFor();
    await until("the focus is on New key", () =>
      page.evaluate(() => document.activeElement?.textContent?.trim() === "New key"),
    );
    await click(button(page, "New key"));
    await click(button(page, "Create key"));
    await page.getByRole("heading", { name: "Copy the value once", exact: true }).waitFor();
    await click(button(page, "Copy"));
    value = await clipboard(page, /^pst_sa_[0-9A-Za-z]{39}$/);
    const verdict = await server.use(value);
    assert.equal(verdict.valid, true);
    assert.ok(clicks <= 6, `got ${clicks} clicks, want 6 at most`);
  });

  it("lets nothing close the value by accident", async () => {
    const shown = page.getByText(value, { exact: true });
    await page.keyboard.press("Escape");
    await page.mouse.click(5, 5);
    await page.goBack().catch(() => undefined);
    await shown.waitFor();
    await page.getByText("Store it first.").waitFor();
    await becomes("true", () => button(page, "Done").getAttribute("aria-disabled"));
  });

  it("leaves the value nowhere once it is stored", async () => {
    const body = [];
    page.on("response", (r) => /\/v1\/(?!.*\/stream)/.test(r.url()) && body.push(r.text().catch(() => "")));
    await page.getByRole("checkbox", { name: "I have stored it" }).click();
    await button(page, "Done").click();
    await page.getByText("prod-", { exact: false }).first().waitFor();
    await until("the dialog is gone", async () => (await page.getByRole("dialog").count()) === 0);
    await page.evaluate(() => navigator.clipboard.writeText(""));
    const inPage = await page.evaluate(() => {
      const fields = [...document.querySelectorAll("input, textarea")].map((f) => f.value);
      const stores = JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state]);
      return [document.documentElement.outerHTML, ...fields, stores, location.href, document.cookie].join("\n");
    });
    assert.ok(!inPage.includes(value), "the page still has the value");
    const databases = await page.evaluate(async () => [
      ...(await indexedDB.databases()).map((d) => d.name),
      ...(await caches.keys()),
    ]);
    assert.deepEqual(databases, []);
    await page.reload();
    await page.getByText("prod-", { exact: false }).first().waitFor();
    const audit = await server.get("/workspaces/-/audit_events?limit=200");
    assert.ok(!JSON.stringify(audit).includes(value), "the audit log has the value");
    assert.ok(!(await Promise.all(body)).join("").includes(value), "an answer after it has the value");
    assert.ok(!server.log.includes(value), "the server's log has the value");
  });

  // Whoever tests on a busy machine may be kept waiting by it, so the best of many counts.
  it("shows a call within two seconds, without loading the page again", async () => {
    const row = page.getByRole("row").filter({ hasText: "pst_sa_" });
    const traffic = (n) => page.getByRole("img", { name: new RegExp(`: ${n} accepted`) }).first();
    const before = 1; // the call by which the key was tried
    await traffic(before).waitFor();
    const took = [];
    for (let n = 1; n <= 20 && !took.some((ms) => ms <= 2000); n++) {
      const begun = Date.now();
      await server.use(value, { ip: `10.77.0.${n}` });
      await row.getByText(`10.77.0.${n}`).waitFor();
      await traffic(before + n).waitFor();
      took.push(Date.now() - begun);
    }
    console.log(`# a call was seen after ${took} ms`);
    assert.ok(Math.min(...took) <= 2000, `calls were seen after ${took} ms`);
  });

  it("had no error and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});
