// Five flows by the keyboard alone: what is pressed is all that is done.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser, Server, until } from "./world.mjs";

let server;
let browser;
let page;

before(async () => {
  server = await Server.start();
  browser = await Browser.start();
  page = await browser.page(server);
  await page.goto("/w/acme/settings/service-accounts");
  await page.getByText("No service accounts yet", { exact: true }).waitFor();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
const type = (text) => page.keyboard.type(text);
const quiet = () =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

/** focused is what the focus is on, as a screen reader would name it. */
const focused = () =>
  page.evaluate(() => {
    const e = document.activeElement;
    const label = e?.labels?.[0]?.textContent ?? e?.closest("label")?.textContent ?? "";
    return (e?.getAttribute("aria-label") || label || e?.textContent || "").trim();
  });

/** tabTo presses Tab until the focus is on something with a name. */
async function tabTo(name, key = "Tab") {
  for (let i = 0; i < 120; i++) {
    if ((await focused()).startsWith(name)) {
      const seen = await page.evaluate(() => {
        const s = getComputedStyle(document.activeElement);
        return (
          document.activeElement.matches(":focus-visible") && (s.outlineStyle !== "none" || s.boxShadow !== "none")
        );
      });
      assert.ok(seen, `one cannot see that the focus is on ${name}`);
      return;
    }
    await press(key);
    await quiet();
  }
  throw new Error(`Tab never comes to ${name}; it is on ${await focused()}`);
}

/** choose opens the menu that the focus is on and takes something of it. */
async function choose(item) {
  await press("Enter");
  await until("the focus is in the menu", () => within("[role=menuitem]"));
  for (let i = 0, on = await focused(); i < 12 && on !== item; i++) {
    await press("ArrowDown");
    on = await until(`the focus has left ${on}`, async () => ((await focused()) !== on ? focused() : undefined));
  }
  assert.equal(await focused(), item);
  await press("Enter");
}

/** within is whether the focus is on or in what a selector finds. */
const within = (selector) => page.evaluate((s) => document.activeElement?.closest(s) !== null, selector);

const heading = (name) => page.getByRole("heading", { name, exact: true }).waitFor();

/** dialog waits until one is there, and has taken the focus. */
async function dialog(name) {
  await heading(name);
  await until(`${name} has the focus`, () => within("[role=dialog], [role=alertdialog]"));
}

async function storeAndLeave() {
  await page.getByText("This is the only time you can see this value.", { exact: false }).waitFor();
  await until("the focus is on the value", () => within(".secret"));
  await tabTo("I have stored it");
  await press("Space");
  await tabTo("Done");
  await press("Enter");
  await until("the dialog is gone", async () => (await page.getByRole("dialog").count()) === 0);
}

describe("by keyboard alone", () => {
  it("an account is made", async () => {
    await tabTo("New service account");
    await press("Enter");
    await dialog("New service account");
    await until("the focus is on the name", async () => (await focused()).startsWith("Name"));
    await type("support-bot-prod");
    await press("Enter");
    await heading("support-bot-prod");
  });

  it("a key is made", async () => {
    await until("the focus is on New key", async () => (await focused()) === "New key");
    await press("Enter");
    await dialog("New key");
    await until("the focus is on the name", async () => (await focused()).startsWith("Name"));
    await page.keyboard.press("Control+a");
    await type("first");
    await press("Enter");
    await storeAndLeave();
    await page.getByRole("link", { name: "first", exact: true }).waitFor();
  });

  it("a key is rotated", async () => {
    await tabTo("Actions for first");
    await choose("Rotate");
    await dialog("Rotate first");
    await tabTo("Generate a second key");
    await press("Enter");
    await storeAndLeave();
    await page.getByText("Deploy the new key to its consumer.").waitFor();
    await tabTo("Type first to revoke it all the same");
    await type("first");
    await press("Enter");
    await page.getByText(/^Revoked \d\d:\d\d:\d\d UTC\.$/).waitFor();
    await tabTo("Done");
    await press("Enter");
    await page.getByText("first is revoked.", { exact: false }).waitFor();
  });

  it("an account is revoked", async () => {
    await tabTo("Service account menu", "Shift+Tab");
    await choose("Revoke");
    await dialog("Revoke support-bot-prod?");
    await until("the focus is on Cancel", async () => (await focused()) === "Cancel");
    await tabTo("Type support-bot-prod to confirm", "Shift+Tab");
    await type("support-bot-prod");
    await press("Enter");
    await page.getByText(/^Revoked \d\d:\d\d:\d\d UTC\.$/).waitFor();
    await tabTo("Done");
    await press("Enter");
    await page.getByText("This account was revoked", { exact: false }).waitFor();
  });

  it("a role is changed, and a place found by the palette", async () => {
    await server.post("/workspaces/-/roles", {
      name: "ticket-bot",
      title: "Ticket bot",
      permissions: ["tickets:read"],
    });
    await press("Control+k");
    await dialog("Search");
    await type("roles");
    await page.getByRole("option", { name: /^Roles/, selected: true }).waitFor();
    await press("Enter");
    await heading("Roles");
    await tabTo("Ticket bot");
    await press("Enter");
    await heading("Ticket bot");
    await tabTo("Write on Tickets");
    await press("Space");
    await tabTo("Save role");
    await press("Enter");
    await page.getByText("The role Ticket bot is changed.").first().waitFor();
    const { permissions } = await server.get("/workspaces/-/roles/ticket-bot");
    assert.deepEqual(permissions.sort(), ["tickets:read", "tickets:write"]);
  });

  it("had no error and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});
