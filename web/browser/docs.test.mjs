// The documentation in a real browser: it reads in light and dark, on a phone, with
// and without JavaScript, and breaks nothing of WCAG 2.2 AA.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { axe } from "./axe.mjs";
import { Browser, clipboard, lasting, pictures, Server, tooWide } from "./world.mjs";

const sorts = [
  "/docs/",
  "/docs/quickstart",
  "/docs/consistency",
  "/docs/reference/commands",
  "/docs/errors/gone",
  "/docs/nothing",
];

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

describe("the documentation", () => {
  for (const scheme of ["light", "dark"]) {
    it(`breaks nothing of WCAG 2.2 AA in ${scheme}, and needs no sideways scroll`, async () => {
      const page = await browser.page(server, { signedIn: false, scheme, failed: true });
      const found = [];
      for (const path of sorts) {
        for (const width of [1280, 390, 320]) {
          await page.setViewportSize({ width, height: 860 });
          await page.goto(path);
          for (const line of await axe(page)) found.push(`${path} at ${width}: ${line}`);
          for (const over of await lasting(() => tooWide(page))) found.push(`${path} at ${width}: ${over}`);
          const name = path.slice(1).replaceAll("/", "-");
          if (width !== 320) await page.screenshot({ path: join(pictures, `${name}-${scheme}-${width}.png`) });
        }
      }
      await page.context().close();
      assert.deepEqual(found, []);
    });
  }

  it("copies what is typed in a block, and not what is printed", async () => {
    const page = await browser.page(server, { signedIn: false });
    await page.goto("/docs/quickstart#let-a-program-in");
    const block = page.locator("div.code", { hasText: "sa create" });
    await block.hover();
    await block.getByRole("button", { name: "Copy" }).click();
    await clipboard(page, /^postern sa create [^\n]*\npostern key create [^\n]*\ncurl [^\n]*\n$/);
    await page.context().close();
  });

  it("is found and read on a phone without JavaScript", async () => {
    const context = await browser.chromium.newContext({
      baseURL: server.url,
      javaScriptEnabled: false,
      viewport: { width: 390, height: 844 },
    });
    const page = await context.newPage();
    await page.goto("/docs/");
    const contents = page.getByRole("navigation", { name: "Contents" });
    assert.equal(await contents.isVisible(), false);
    await page.getByRole("button", { name: "Contents" }).click();
    await contents.getByRole("link", { name: "Rotate a key" }).click();
    await page.getByRole("heading", { level: 1, name: "Rotate a key" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Copy" }).count(), 0);
    await context.close();
  });

  it("did nothing that the policy forbids", () => assert.deepEqual(browser.wrong, []));
});
