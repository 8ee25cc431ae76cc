// Every screen in every state: no violation of WCAG 2.2 AA, nothing that the policy
// refuses, no sideways scroll at 320 px; and a picture of each to look at.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { axe, contrast, wcag } from "./axe.mjs";
import { thirtyDays } from "./readme.mjs";
import { answers, gaps, screens } from "./screens.mjs";
import { Browser, becomes, fill, lasting, pictures, Server, tooWide } from "./world.mjs";

let server;
let browser;
let world;

before(async () => {
  server = await Server.start();
  world = await fill(server);
  browser = await Browser.start();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

/** open shows a screen in a state, on a page that is already there. */
async function open(page, screen, state) {
  await page.unrouteAll({ behavior: "ignoreErrors" });
  if (state !== "filled") {
    await page.route(screen.call, (route) => route.fulfill(answers[state]));
    await page.route("**/stream?*", (route) => route.abort()); // it would bring what the call does not
  }
  if (screen.fresh) await page.goto("about:blank"); // what differs behind the # alone is no new page
  await page.goto(screen.path);
  await page.getByText(screen.ready, { exact: true }).filter({ visible: true }).first().waitFor();
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  if (state !== "filled") await page.locator(".empty").first().waitFor();
}

const renew = "the README's picture is not of this page any more: make picture";

const cells = () => screens(world).flatMap((s) => ["filled", ...(s.states ?? [])].map((state) => ({ s, state })));

/** looks are what a page is looked at in. The dark one differs in its colours alone. */
const looks = [
  { scheme: "light", rules: wcag },
  { scheme: "dark", rules: contrast },
];

describe("every screen, each look in a page of its own", { concurrency: true }, () => {
  for (const { scheme, rules } of looks) {
    it(`breaks nothing of WCAG 2.2 AA in ${scheme}, and is pictured wide and narrow`, async () => {
      const page = await browser.page(server, { scheme, failed: true });
      const found = [];
      for (const { s, state } of cells()) {
        await page.setViewportSize({ width: 1280, height: 860 });
        try {
          await open(page, s, state);
        } catch (e) {
          found.push(`${s.name} ${state} does not show: ${e.message.split("\n", 4).join(" ")}`);
        }
        for (const line of await axe(page, rules)) found.push(`${s.name} ${state}: ${line}`);
        const name = `${s.name}-${state}-${scheme}`;
        await page.screenshot({ path: join(pictures, `${name}-wide.png`) });
        await page.setViewportSize({ width: 390, height: 844 });
        await page.screenshot({ path: join(pictures, `${name}-390.png`), fullPage: !s.dialog });
      }
      await page.context().close();
      assert.deepEqual(found, []);
    });
  }

  it("needs no sideways scroll at 320 px, nor at twice the size", async () => {
    const page = await browser.page(server, { width: 320, height: 640, failed: true });
    const wide = [];
    for (const s of screens(world)) {
      await page.setViewportSize({ width: 320, height: 640 });
      await open(page, s, "filled");
      for (const width of [320, 640]) {
        await page.setViewportSize({ width, height: 640 });
        for (const over of await lasting(() => tooWide(page))) wide.push(`${s.name} at ${width}: ${over}`);
      }
    }
    await page.context().close();
    assert.deepEqual(wide, []);
  });
});

for (const scheme of ["light", "dark"]) {
  it(`is shown in the README as it is, in ${scheme}`, async () => {
    const page = await browser.page(server, { scheme, width: 1180, height: 530 });
    await page.route("**/v1/**/usage?*", thirtyDays);
    await page.goto("/w/acme/settings/service-accounts/support-bot-prod");
    await page.getByText("4,016", { exact: false }).first().waitFor();
    // What can be seen on the picture in docs/pictures: who changes it makes a new one.
    const words = (role) => page.getByRole(role).filter({ visible: true }).allInnerTexts();
    await becomes(["support-bot-prod"], () => words("heading"), renew);
    const columns = ["name", "value", "traffic 30 d", "last used", "expires", "state", "actions"];
    await becomes(columns, async () => (await words("columnheader")).map((w) => w.toLowerCase()), renew);
    for (const said of ["New key", "Permissions", "prod-2026-08", "Retiring", "1 node in step"])
      await page.getByText(said, { exact: true }).first().waitFor();
    await page.screenshot({ path: join(pictures, `readme-${scheme}.png`) });
    await page.unrouteAll({ behavior: "ignoreErrors" }); // it is asked again and again
    await page.context().close();
  });
}

describe("every screen", () => {
  it("is in the table", () => {
    const router = readFileSync(resolve(import.meta.dirname, "../src/router.tsx"), "utf8");
    const lazily = [...router.matchAll(/import\("\.\/screens\/([^"]+)"\)/g)].map((m) => m[1]);
    const missing = lazily.filter(
      (file) => !Object.hasOwn(pictured, file) || !screens(world).some((s) => s.name === pictured[file]),
    );
    assert.deepEqual(missing, [], "these screens are in the router and not in the table");
    assert.deepEqual(gaps(screens(world)), [], "these cells of the table are missing");
  });

  it("had no error, no warning and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});

/** pictured says which row of the table shows which file of the source. */
const pictured = {
  "signin/signin": "signin",
  "signin/setup": "setup",
  "signin/invite": "invite",
  "signin/device": "device",
  "me/account": "my-account",
  "overview/overview": "overview",
  "accounts/list": "accounts",
  "accounts/new": "account-new",
  "accounts/account": "account-keys",
  "accounts/keys": "account-keys",
  "accounts/newkey": "key-new",
  "accounts/key": "key",
  "accounts/revokekey": "key-revoke",
  "accounts/editkey": "key-edit",
  "accounts/revoke": "account-revoke",
  "accounts/role": "account-role",
  "accounts/permissions": "account-permissions",
  "accounts/audit": "account-audit",
  "accounts/settings": "account-settings",
  "rotations/start": "key-rotate",
  "rotations/assistant": "rotation",
  "rotations/change": "rotation-change",
  "keys/mine": "api-keys",
  "keys/newmine": "api-key-new",
  "keys/drawer": "api-key",
  "keys/revokemine": "api-key-revoke",
  "people/members": "members",
  "people/invite": "member-invite",
  "people/role": "member-role",
  "people/remove": "member-remove",
  "roles/list": "roles",
  "roles/new": "role-new",
  "roles/role": "role",
  "settings/nodes": "nodes",
  "settings/general": "general",
  "settings/drill": "drill",
  "audit/log": "audit",
  "audit/event": "audit-event",
};
