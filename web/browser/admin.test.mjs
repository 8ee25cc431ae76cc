// What an admin does besides the path of the product's page: finding accounts, moving a
// person's key, changing a rotation, looking at the nodes, reading the audit log.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { axe } from "./axe.mjs";
import { Browser, becomes, copied, Server, until } from "./world.mjs";

const W = "/workspaces/-";
const S = "/w/acme/settings";

let server;
let browser;
let page;

before(async () => {
  server = await Server.start();
  for (const [name, owner, role] of [
    ["support-bot-prod", "Support", "operator"],
    ["a-billing-sync", "", "viewer"],
    ["renamed-once", "Data", "viewer"],
    ["old-bot", "Data", "viewer"],
  ]) {
    await server.post(`${W}/service_accounts`, { name, owner, role });
  }
  await server.call("PATCH", `${W}/service_accounts/renamed-once`, { name: "renamed" });
  await server.post(`${W}/service_accounts/old-bot/revoke`);
  browser = await Browser.start();
  page = await browser.page(server);
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

const button = (name) => page.getByRole("button", { name, exact: true });
const field = (name) => page.getByLabel(name, { exact: true });
const heading = (name) => page.getByRole("heading", { name, exact: true });
const text = (what) => page.getByText(what, { exact: true });

/** rows are the names in the list of accounts, from the top. */
const rows = () => page.locator("td[data-kind=main] .row-link").allTextContents();
const shows = (what, want) => becomes(want, rows, what);

describe("an admin", () => {
  it("hears while typing whether a name is free", async () => {
    await page.goto(`${S}/service-accounts/new`);
    for (const [name, says] of [
      ["support-bot-prod", "support-bot-prod is taken by another account."],
      ["old-bot", "old-bot is taken: an account that was revoked has it for good."],
      ["renamed-once", "renamed-once is taken: renamed was called so."],
      ["support-bot-test", "support-bot-test is free."],
    ]) {
      await field("Name").fill(name);
      await text(says).waitFor();
    }
    assert.deepEqual(await axe(page), []);
  });

  it("filters accounts by what they need, sees how many there are, and sorts them", async () => {
    await page.goto(`${S}/service-accounts`);
    await shows("all are there by name", ["a-billing-sync", "renamed", "support-bot-prod"]);
    const states = ["Active (3)", "Paused (0)", "Inactive (1)", "All (4)"];
    await becomes(states, () => field("State").locator("option").allTextContents());
    await button("Owner").click();
    await page.locator("th[aria-sort=ascending]").filter({ hasText: "Owner" }).waitFor();
    await shows("they are sorted by owner", ["a-billing-sync", "renamed", "support-bot-prod"]);
    await button("Owner").click();
    await shows("and the other way round", ["support-bot-prod", "renamed", "a-billing-sync"]);
    await page.locator("th[aria-sort=descending]").filter({ hasText: "Owner" }).waitFor();
    await field("Needs attention").selectOption({ label: "No owner" });
    await shows("one has no owner", ["a-billing-sync"]);
    await page.waitForURL(/need=owner/);
    await page.reload();
    await shows("the address says so", ["a-billing-sync"]);
  });

  it("moves a person's key to a service account", async () => {
    const mine = await server.post(`${W}/me/keys`, { name: "nightly sync", allowed_networks: ["10.0.0.0/8"] });
    await server.use(mine.value, { ip: "10.1.1.1" });
    await page.goto(`${S}/api-keys?of=everyone`);
    await button("Actions for nightly sync").click();
    await page.getByRole("menuitem", { name: "Move to a service account", exact: true }).click();
    await heading("Move nightly sync to a service account").waitFor();
    await becomes("nightly-sync", () => field("Name").inputValue());
    await text("nightly-sync is free.").waitFor();
    await button("Create").click();
    await heading("nightly-sync").waitFor();
    await page.getByRole("heading", { name: /^Takes the place of nightly sync, a key of/ }).waitFor();
    await button("New key").click();
    const networks = () => field("Allowed networks").inputValue();
    await becomes("10.0.0.0/8", networks, "its networks are not those of the old key");
    await button("Create key").click();
    const value = await copied(page);
    await page.getByRole("checkbox", { name: "I have stored it" }).click();
    await button("Done").click();
    assert.equal((await server.use(value, { ip: "10.1.1.1" })).valid, true);
    await page.getByText("and not since this account's key is in use", { exact: false }).waitFor();
    await page.getByRole("link", { name: "See nightly sync", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true }).click();
    const asks = page.getByRole("alertdialog", { name: "Revoke nightly sync?", exact: true });
    await asks.getByRole("button", { name: "Revoke", exact: true }).click();
    await text("Done").waitFor();
    await page.goto(`${S}/service-accounts/nightly-sync`);
    await heading("nightly-sync").waitFor();
    await page.getByRole("table", { name: "Keys of nightly-sync" }).getByRole("link").first().waitFor();
    await page.getByRole("heading", { name: /^Takes the place/ }).waitFor({ state: "detached" });
  });

  it("changes for how long the old key of a rotation must be quiet", async () => {
    const key = await server.post(`${W}/service_accounts/support-bot-prod/keys`, { name: "first" });
    const { rotation } = await server.post(`${W}/keys/${key.id}/rotations`, { quiet_for: "24h" });
    await page.goto(`${S}/service-accounts/support-bot-prod/rotations/${rotation.id}`);
    await text("It counts as unused when it has been quiet for 1d.").waitFor();
    await button("Change when").click();
    await becomes(true, () => page.getByRole("radio", { name: "24 h", exact: true }).isChecked());
    await becomes("true", () => button("Save").getAttribute("aria-disabled"));
    await page.getByRole("radio", { name: "1 h", exact: true }).click();
    await page.getByRole("checkbox", { name: /^Revoke the old key by itself/ }).click();
    await button("Save").click();
    await button("Undo").hover(); // so that it stays for longer than its ten seconds
    await text("It is revoked by itself when it has been quiet for 1h, and never while it is in use.").waitFor();
    const now = await server.get(`${W}/rotations/${rotation.id}`);
    assert.deepEqual([now.quiet_for, now.auto_revoke, now.state], ["1h", true, "waiting_for_first_use"]);
    await button("Undo").click();
    await text("It counts as unused when it has been quiet for 1d.").waitFor();
  });

  it("runs a revocation drill, and sees what each node says", async () => {
    await page.goto(`${S}/nodes`);
    await page.getByRole("columnheader", { name: "Requests/s", exact: true }).waitFor();
    await button("Revocation drill").click();
    await button("Start the drill").click();
    const said = page.getByRole("list", { name: "What each node says" });
    await said.getByText("node-1", { exact: true }).waitFor();
    await said.getByText("Confirmed", { exact: true }).waitFor();
    await text("The key worked before, and is refused now.").waitFor();
    assert.deepEqual(await axe(page), []);
    await button("Done").click();
    await until("what the drill made has ended", async () => {
      const { data } = await server.get(`${W}/service_accounts?q=drill-`);
      return data.length === 1 && data[0].state === "inactive";
    });
  });

  it("has the audit log stand still, and go on", async () => {
    await page.goto("/w/acme/audit");
    const live = page.getByRole("switch", { name: "Live", exact: true });
    const events = (name) => page.getByRole("row").filter({ hasText: name });
    await events("nightly-sync").first().waitFor();
    await server.post(`${W}/service_accounts`, { name: "while-live", role: "viewer" });
    await events("while-live").first().waitFor();
    await live.click();
    await page.getByText("The list stands still.", { exact: false }).waitFor();
    await server.post(`${W}/service_accounts`, { name: "while-still", role: "viewer" });
    await page.getByText(/^\d+ new events?\. Show (it|them)$/).waitFor();
    assert.equal(await events("while-still").count(), 0, "the list did not stand still");
    await page.waitForURL(/live=off/);
    await page.getByRole("button", { name: /^Show (it|them)$/ }).click();
    await events("while-still").first().waitFor();
    await live.click();
    await server.post(`${W}/service_accounts`, { name: "live-again", role: "viewer" });
    await events("live-again").first().waitFor();
  });

  it("is told why the last owner stays, and where to read more", async () => {
    await page.goto(`${S}/members`);
    await page
      .getByRole("button", { name: /^Actions for/ })
      .first()
      .click();
    const remove = page.getByRole("menuitem", { name: /^Remove/ });
    await remove.getByText("This is the last owner.", { exact: false }).waitFor();
    await becomes("true", () => remove.getAttribute("aria-disabled"));
    await page.keyboard.press("Escape");
    await remove.waitFor({ state: "detached" });
    const more = page.getByRole("link", { name: /^Learn more/ });
    assert.equal((await page.request.get(await more.getAttribute("href"))).status(), 200);
    await page.locator(".shell > .side .account-button").last().click();
    const docs = page.getByRole("menuitem", { name: "Documentation", exact: true });
    assert.equal(await docs.getAttribute("href"), "/docs/");
  });

  it("had no error and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});
