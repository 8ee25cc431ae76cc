// Two servers on one PostgreSQL: each lists the verifiers of both. When one is cut off, a
// revocation says whom it waits for, and not that it is done before it is.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { database } from "./database.mjs";
import { follow } from "./verifier.mjs";
import { Browser, Server, until } from "./world.mjs";

const servers = [];
let browser;

before(async () => {
  const store = await database();
  // Long enough that the page has said whom it waits for before the lease ends.
  const args = ["--lease-ttl", "20s", "--durability", "local"];
  servers.push(await Server.start({ store, name: "fra-1", args }));
  servers.push(await Server.start({ store, name: "fra-2", args, secret: servers[0].secret }));
  browser = await Browser.start();
});

after(async () => {
  await browser?.stop();
  for (const s of servers.reverse()) await s.stop();
});

describe("two nodes, of which one is cut off", () => {
  it("lists a verifier wherever it follows, and says only what is known there", async () => {
    const [one, two] = servers;
    await one.post("/workspaces/-/service_accounts", { name: "tickets", role: "verifier" });
    const { value } = await one.post("/workspaces/-/service_accounts/tickets/keys", { name: "k" });
    await until("the other node knows the key", () => two.call("GET", "/whoami", undefined, value));
    const ends = [await follow(one, value, "tickets-here"), await follow(two, value, "tickets-there")];
    const page = await browser.page(one);
    await page.goto("/w/acme/settings/nodes");
    const row = (name) => page.getByRole("row", { name });
    await row(/^tickets-here follows fra-1 Verifier – (In step|[\d,]+ behind|Set aside|Cut off) at/).waitFor();
    await row(/^tickets-there follows fra-2 Verifier – – at [\d,]+ –/).waitFor();
    await Promise.all(ends.map((end) => end()));
  });

  it("names the node that it waits for, and is done when its lease has ended", async () => {
    const [one, two] = servers;
    await one.post("/workspaces/-/service_accounts", { name: "doomed", role: "viewer" });
    const key = await one.post("/workspaces/-/service_accounts/doomed/keys", { name: "k" });
    await until(
      "both nodes are known",
      async () => (await one.get("/workspaces/-/nodes")).data.filter((n) => n.kind === "server").length === 2,
    );
    const page = await browser.page(one);
    await page.goto("/w/acme/settings/service-accounts/doomed/revoke");
    await page.getByRole("textbox", { name: "Type doomed to confirm" }).fill("doomed");
    two.child.kill("SIGSTOP");
    await page.getByRole("button", { name: "Revoke", exact: true }).click();
    await page.getByText(/Stopping on every node\. \d of 2 confirmed\./).waitFor();
    await page.getByText(/Waiting for fra-2 \(its lease ends in \d+ s\)\./).waitFor();
    assert.equal(await page.getByText(/^Revoked .* UTC\./).count(), 0, "it says done while a node may still answer");
    await page.getByText(/^Revoked \d\d:\d\d:\d\d UTC\.$/).waitFor({ timeout: 120_000 });
    await page.getByText("fra-2 did not confirm; the lease ended", { exact: false }).waitFor();
    assert.equal((await one.use(key.value)).valid, false);
  });

  it("had no error and nothing that the policy refused", () => assert.deepEqual(browser.wrong, []));
});
