// A rotation while four consumers call two hundred times a second: nobody is refused,
// whoever has not moved is named, and the old key is never revoked while it is used.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser, copied, Server, until } from "./world.mjs";

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

const W = "/workspaces/-";

/** Consumer calls fifty times a second with the key that it has. */
class Consumer {
  constructor(key, ip) {
    Object.assign(this, { key, ip, calls: 0, refused: [], running: true });
    this.done = this.run();
  }
  async run() {
    for (let due = Date.now(); this.running; due += 20) {
      const verdict = await server.use(this.key, { ip: this.ip, agent: "worker/1" });
      this.calls++;
      if (!verdict.valid) this.refused.push(verdict.code);
      await new Promise((done) => setTimeout(done, Math.max(0, due + 20 - Date.now())));
    }
  }
  stop() {
    this.running = false;
    return this.done;
  }
}

describe("a rotation under load", () => {
  it("refuses nobody, names each laggard, and revokes the old key when it is quiet", async () => {
    await server.post(`${W}/service_accounts`, { name: "worker", role: "operator" });
    const old = await server.post(`${W}/service_accounts/worker/keys`, { name: "first" });
    const consumers = [1, 2, 3, 4].map((n) => new Consumer(old.value, `10.4.0.${n}`));
    try {
      const page = await browser.page(server);
      await page.goto("/w/acme/settings/service-accounts/worker");
      await page.getByRole("button", { name: "Actions for first", exact: true }).click();
      await page.getByRole("menuitem", { name: "Rotate", exact: true }).click();
      await page.getByRole("radio", { name: "1 min", exact: true }).click();
      await page.getByRole("checkbox", { name: /^Revoke the old key by itself/ }).click();
      await page.getByRole("button", { name: "Generate a second key", exact: true }).click();
      const value = await copied(page);
      await page.getByRole("checkbox", { name: "I have stored it" }).click();
      await page.getByRole("button", { name: "Done", exact: true }).click();
      await page.getByText("Deploy the new key to its consumer.").waitFor();
      for (const consumer of consumers.slice(0, 3)) consumer.key = value;
      const last = consumers[3];
      await page.getByText(`${last.ip} (worker/1) has not`).waitFor();
      await until("only the last one is named", async () => (await page.getByText("(worker/1) has not").count()) === 1);
      const lane = page.getByRole("region", { name: "New key", exact: true });
      for (const moved of consumers.slice(0, 3)) await lane.getByText(`${moved.ip} (worker/1)`).waitFor();
      // For longer than the quiet period the old key is in use: it must stay.
      await new Promise((done) => setTimeout(done, 63_000));
      const { data } = await server.get(`${W}/rotations`);
      assert.equal(data[0].old_key.state, "active", "the old key was revoked while it was in use");
      last.key = value;
      await page.getByText("first is revoked.", { exact: false }).waitFor({ timeout: 180_000 });
      await page.getByText("Completed", { exact: true }).waitFor();
    } finally {
      await Promise.all(consumers.map((c) => c.stop()));
    }
    const calls = consumers.reduce((n, c) => n + c.calls, 0);
    console.log(`# ${calls} calls by four consumers`);
    assert.deepEqual(
      consumers.flatMap((c) => c.refused),
      [],
    );
    assert.ok(
      consumers.every((c) => c.calls > 500),
      "a consumer hardly called",
    );
  });

  it("had no error and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});
