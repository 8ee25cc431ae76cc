// People: setting up from the link that an empty server prints, passwords, passkeys
// of Chromium's own authenticator, invitations, devices, and leaving.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { Browser, becomes, binary, Server, until } from "./world.mjs";

let server;
let browser;
let page;

before(async () => {
  server = await Server.start({ empty: true });
  browser = await Browser.start();
  page = await browser.page(server, { failed: true });
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

const button = (name) => page.getByRole("button", { name, exact: true });
const field = (name) => page.getByLabel(name, { exact: true });
const heading = (name) => page.getByRole("heading", { name, exact: true });
const email = "maya@example.com";
const password = "a long enough password";

async function signIn(secret) {
  await page.goto("/signin");
  await field("Email").fill(email);
  await field("Password").fill(secret);
  await tryToSignIn();
}

/** tryToSignIn sends what is in the form, and waits for what becomes of it. */
async function tryToSignIn() {
  const answer = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/v1/sessions"));
  await button("Sign in").click();
  await answer;
}

async function signOut() {
  await page.getByRole("button", { name: /^Maya Chen/ }).click();
  await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
  await heading("Sign in").waitFor();
}

describe("people", () => {
  it("set up a deployment from the link that an empty server prints", async () => {
    const link = await until(
      "the link is in the log",
      () => server.log.match(/https?:\/\/\S+\/setup#[A-Za-z0-9_-]+/)?.[0],
    );
    await page.goto(link);
    await field("Workspace name").fill("Acme");
    await page.waitForURL((at) => at.hash === ""); // it is the link's secret
    await field("Your name").fill("Maya Chen");
    await field("Email").fill(email);
    await field("Password").fill(password);
    await button("Create workspace").click();
    await heading("Overview").waitFor();
    await page.goto(link);
    await page.reload();
    await page.goto("about:blank");
    await page.goto(link);
    await field("Workspace name").fill("Other");
    await field("Your name").fill("X");
    await field("Email").fill("x@example.com");
    await field("Password").fill(password);
    await button("Create workspace").click();
    await page.getByText("This link was used already", { exact: false }).waitFor();
  });

  it("are refused with one sentence, whoever they are", async () => {
    await page.goto("/w/acme");
    await signOut();
    await signIn("not the password at all");
    const one = await page.getByRole("alert").textContent();
    await field("Email").fill("nobody@example.com");
    await tryToSignIn();
    await becomes(one, () => page.getByRole("alert").textContent());
  });

  it("sign in with a password", async () => {
    await signIn(password);
    await heading("Overview").waitFor();
  });

  it("add a passkey, and sign in with it", async () => {
    const session = await page.context().newCDPSession(page);
    await session.send("WebAuthn.enable");
    await session.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    await page.goto("/account");
    await button("Add a passkey").click();
    await page
      .getByText(/^The passkey .* is added\.$/)
      .first()
      .waitFor();
    await signOut();
    await button("Sign in with a passkey").click();
    await heading("Overview").waitFor();
  });

  it("invite a colleague, who joins", async () => {
    await page.goto("/w/acme/settings/members/invite");
    await field("Email").fill("jo@example.com");
    await button("Invite").click();
    await heading("jo@example.com is invited").waitFor();
    const link = await page.locator("code.secret").textContent();
    const theirs = await browser.page(server, { signedIn: false });
    await theirs.goto(link);
    await theirs.getByLabel("Your name", { exact: true }).fill("Jo Park");
    await theirs.getByLabel("Password", { exact: true }).fill(password);
    await theirs.getByRole("button", { name: "Join", exact: true }).click();
    await theirs.getByRole("heading", { name: "Overview", exact: true }).waitFor();
    await theirs.context().close();
  });

  it("approve the command line by the code that both show", async () => {
    const login = spawn(binary, ["login", "--server", server.url], { env: server.env, cwd: server.folder });
    let told = "";
    for (const stream of [login.stdout, login.stderr]) {
      stream.on("data", (d) => {
        told += d;
      });
    }
    const ended = new Promise((done) => login.on("close", done));
    const code = await until("it shows a code", () => told.match(/\b[A-Z0-9]{4}-[A-Z0-9]{4}\b/)?.[0]);
    await page.goto("/device");
    await field("Code").fill(code);
    await button("Continue").click();
    await page.locator(".code-compare").filter({ hasText: code }).waitFor();
    await button("Approve").click();
    await heading("Approved").waitFor();
    assert.equal(await ended, 0, told);
    await page.goto("/account");
    await page
      .getByRole("table", { name: "Command line logins" })
      .getByRole("link", { name: /^Revoke cli/ })
      .waitFor();
  });

  it("see where they are signed in, and end the rest", async () => {
    const other = await browser.page(server, { signedIn: false });
    await other.goto("/signin");
    await other.getByLabel("Email", { exact: true }).fill(email);
    await other.getByLabel("Password", { exact: true }).fill(password);
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.getByRole("heading", { name: "Overview", exact: true }).waitFor();
    await page.goto("/account");
    await until(
      "both are shown",
      async () => (await page.getByRole("table", { name: "Sessions" }).getByRole("row").count()) >= 3,
    );
    await button("End other sessions").click();
    await page
      .getByText(/sessions? ended\.$/)
      .first()
      .waitFor();
    await other.goto("/w/acme");
    await other.getByRole("heading", { name: "Sign in", exact: true }).waitFor();
    await other.context().close();
  });

  it("had no error but answers that say no, and nothing that the policy refused", () => {
    // A session that ends takes its stream with it, and is told so once.
    const meant = /status of 401|ERR_INCOMPLETE_CHUNKED_ENCODING/;
    assert.deepEqual(
      browser.wrong.filter((w) => !meant.test(w)),
      [],
    );
  });
});
