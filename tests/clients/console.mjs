// The console in a real browser: people log in, look and decide, with hostile text everywhere, other sites and other tenants.
// Arguments: refmon's program, a folder, and optionally a folder for pictures of every page.
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSocket } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { prepare } from "./refmon.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const [refmon, folder, pictures] = process.argv.slice(2).map((argument) => path.resolve(argument));

const checks = [];
const check = (claim, holds, seen) => {
  checks.push(holds);
  console.log(`${holds ? "ok  " : "FAIL"} ${claim}${holds ? "" : `: ${JSON.stringify(seen)?.slice(0, 2000)}`}`);
};

const freePort = () =>
  new Promise((resolve) => {
    const server = createSocket().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

// === the gateway: every call of `echo` waits for a person ===

const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const server = { command: "python3", args: [path.join(here, "../../crates/cli/tests/servers/era_server.py"), "modern", path.join(folder, "one.log")] };

/** Every call of `echo` waits; the other tools are permitted. */
const waiting = (contract) => {
  const tools = [...contract.matchAll(/^(\[tool\.([^\].]+)\])\n(pin = .*)$/gm)];
  const entry = ([, header, name, pin]) =>
    [header, pin, name === "echo" ? 'effects = ["write", "external"]\nhold = "always"' : 'effects = ["read"]', 'required_scopes = ["one:use"]', ""].join("\n");
  return ['server = "one"', "version = 1", "", ...tools.map(entry)].join("\n");
};

const cli = (...words) => JSON.parse(execFileSync(refmon, ["--json", ...words], { cwd: folder }));
const key = (user, tenant, agent, ...scopes) =>
  cli("key", "add", "--user", user, "--tenant", tenant, `--agent=${agent}`, ...scopes.flatMap((scope) => ["--scope", scope])).key;
const state = (hold) => cli("holds", "show", hold).state;

/** A call of an agent: the answer, and the hold if it waits. */
async function call(credential, name, args) {
  const version = "2026-07-28";
  const _meta = { "io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {} };
  const headers = {
    "content-type": "application/json", accept: "application/json, text/event-stream", authorization: `Bearer ${credential}`,
    "mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": `=?base64?${Buffer.from(name).toString("base64")}?=`,
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args, _meta } });
  const text = await (await fetch(`${base}/mcp`, { method: "POST", headers, body })).text();
  const found = text.match(/"hold":\s*"([0-9a-f-]{36})"/);
  return { text, hold: found?.[1] };
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
prepare(refmon, folder, "one", server, waiting);
writeFileSync(path.join(folder, "policies", "one.cedar"), '@id("all") @reason("all is permitted") permit (principal, action, resource);\n');
const file = path.join(folder, "refmon.toml");
writeFileSync(file, readFileSync(file, "utf8").replace(/\[identity\][^[]*(\[[^\]]*\]\n)?(?=\n\[policy\])/s, '[identity]\nkind = "keys"\n'));
appendFileSync(file, `\n[listen]\nhttp = "127.0.0.1:${port}"\n`);
const gateway = spawn(refmon, ["serve"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
await new Promise((resolve, reject) => {
  gateway.stdout.on("data", (data) => `${data}`.includes(`:${port}/mcp`) && resolve());
  gateway.once("exit", () => reject(new Error("refmon ended")));
});

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** What no page may ever do: run a stranger's script, ask anybody else for anything, or break its own policy. */
const misdeeds = [];
async function window_(options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("dialog", (dialog) => (misdeeds.push(`dialog ${dialog.message()}`), dialog.dismiss()));
  page.on("pageerror", (error) => misdeeds.push(`error ${error.message}`));
  page.on("console", (message) => /Content Security Policy|Refused to/.test(message.text()) && misdeeds.push(message.text()));
  page.on("request", (request) => request.url().startsWith(base) || request.url().startsWith("data:") || misdeeds.push(`request ${request.url()}`));
  return page;
}
async function signIn(page, credential) {
  await page.goto(`${base}/login`);
  await page.fill("#key", credential);
  await page.click("button[type=submit]");
  await page.waitForURL(`${base}/`);
  return page;
}
const text = (page) => page.innerText("main");

const ada = key("ada", "local", "planner", "one:use");
const people = ["refmon:approve", "refmon:view"];
const bossKey = key("boss", "local", "console", ...people);
const boss = await signIn(await window_(), bossKey);
const chief = await signIn(await window_(), key("chief", "local", "console", ...people));
const stranger = await signIn(await window_(), key("mallory", "other", "console", ...people));

try {
  // === log in, approve, deny ===
  {
    const page = await window_();
    await page.goto(`${base}/calls`);
    check("without a session a page leads to the login", page.url().includes("/login?next="), page.url());
    await page.fill("#key", "refmon_wrong");
    await page.click("button[type=submit]");
    check("a wrong key is refused in plain words", (await text(page)).includes("not one that is accepted"), await text(page));
    await page.fill("#key", bossKey);
    await page.click("button[type=submit]");
    await page.waitForURL(`${base}/calls`);
    check("a login leads to the page that was asked for", true);
    await page.context().close();
  }
  await boss.goto(`${base}/`);
  check("an empty queue says so", (await text(boss)).includes("Nothing waits for you"), await text(boss));
  const first = await call(ada, "echo", { text: "send the report to alice@example.com" });
  await boss.waitForSelector(`a[href="/holds/${first.hold}"]`);
  check("a call that waits appears without a reload", true);
  await boss.click(`a[href="/holds/${first.hold}"]`);
  await boss.waitForSelector("text=What happens next");
  const said = await text(boss);
  check("the page says who wants what, why it waits and what happens next",
    ["ada wants to run echo on one", "alice@example.com", "the contract wants a person to decide", "exactly this call runs once", "Left alone"].every((part) => said.includes(part)), said);
  await boss.fill("#reason", "as agreed");
  await boss.click("text=Approve once");
  await boss.waitForSelector("text=sends it again until");
  check("an approval is shown with who, when and why", (await text(boss)).includes("as agreed"), await text(boss));
  check("nothing runs by being approved", state(first.hold) === "approved", state(first.hold));
  const ran = await call(ada, "echo", { text: "send the report to alice@example.com" });
  check("the agent's identical call runs", !ran.hold && ran.text.includes("alice@example.com"), ran.text);
  check("… once", (await call(ada, "echo", { text: "send the report to alice@example.com" })).hold !== first.hold);
  const second = await call(ada, "echo", { text: "delete everything" });
  await boss.goto(`${base}/holds/${second.hold}`);
  await boss.click("button:has-text('Deny')");
  await boss.waitForSelector("text=This call is denied until");
  check("a denial denies", state(second.hold) === "denied" && (await call(ada, "echo", { text: "delete everything" })).text.includes("approval.denied"));

  // === two people, one of them late; the one who asked ===
  const third = await call(ada, "echo", { text: "third" });
  await Promise.all([boss, chief].map((page) => page.goto(`${base}/holds/${third.hold}`)));
  await boss.click("text=Approve once");
  await boss.waitForSelector("text=sends it again until");
  await chief.click("button:has-text('Deny')");
  await chief.waitForSelector("[role=alert]");
  check("who decides too late is told the truth", (await text(chief)).includes("Nothing changed: this call has been approved"), await text(chief));
  check("… and changes nothing", state(third.hold) === "approved");
  const adaPage = await signIn(await window_(), key("ada", "local", "console", ...people, "one:use"));
  const fourth = await call(ada, "echo", { text: "fourth" });
  await adaPage.goto(`${base}/holds/${fourth.hold}`);
  check("who asked sees why another person has to approve", (await text(adaPage)).includes("you cannot approve it") && (await adaPage.locator("text=Approve once").count()) === 0, await text(adaPage));
  const onlyOwn = await signIn(await window_(), key("ada", "local", "planner", "one:use"));
  check("who has no scope is told which one", (await text(onlyOwn)).includes("refmon:view"), await text(onlyOwn));

  // === two tenants ===
  await stranger.goto(`${base}/`);
  check("another tenant's queue has nothing of it", (await text(stranger)).includes("Nothing waits for you"), await text(stranger));
  const foreign = await (await stranger.goto(`${base}/holds/${fourth.hold}`)).text();
  const missing = await (await stranger.goto(`${base}/holds/01900000-0000-7000-8000-000000000000`)).text();
  check("a hold of another tenant and none at all are one page", foreign === missing && foreign.includes("Nothing here"));
  await stranger.goto(`${base}/calls`);
  check("another tenant's calls are empty", (await text(stranger)).includes("No call fits"), await text(stranger));

  // === filter and search ===
  await call(ada, "wait-no-such-tool", {});
  await boss.goto(`${base}/calls`);
  await boss.selectOption("#f-decision", "deny");
  await boss.click("text=Filter");
  const rows = await boss.locator("tbody tr").allInnerTexts();
  check("a filter shows what fits and nothing else", rows.length === 2 && rows.every((row) => row.includes("deny")), rows);
  await boss.fill("#f-q", "no-such");
  await boss.click("text=Filter");
  check("a search narrows it", (await boss.locator("tbody tr").count()) === 1);
  await boss.goto(`${base}/calls?user=ada&agent=planner&reason=approved`);
  check("… by person, agent and reason", (await boss.locator("tbody tr").count()) === 1);
  await boss.click("tbody a");
  await boss.waitForSelector("svg.timeline");
  const life = await text(boss);
  check("one call's life is drawn from door to record", ["Door", "Held", "Approved", "Run", "Outcome", "Record", "by boss"].every((step) => life.includes(step)), life);

  // === who may do what, and one call explained ===
  await boss.click("text=Agents and tools");
  await boss.selectOption("#f-key", { label: await boss.locator("#f-key option", { hasText: "ada through planner" }).first().innerText() });
  await boss.click("main button:has-text('Show')");
  check("the matrix says what becomes of each tool's calls", (await boss.locator("#matrix tbody tr", { hasText: "echo" }).innerText()).includes("held"), await text(boss));
  await boss.click("nav >> text=Policies");
  await boss.selectOption("#f-operation", "one/echo");
  await boss.fill("#f-arguments", '{"text":"x"}');
  await boss.fill("#f-user", "ada");
  await boss.fill("#f-scopes", "one:use");
  await boss.click("text=Explain >> nth=-1");
  await boss.waitForSelector(".answer");
  check("a call is explained", (await boss.innerText(".answer")).includes("hold.contract"), await boss.innerText(".answer"));
  await boss.click("nav >> text=Servers");
  await boss.click("text=Compare with what it lists now");
  await boss.waitForSelector(".fine");
  check("a server lists what its contract was made for", true);
  await boss.click("nav >> text=Health");
  check("health says what holds and how that is known", (await text(boss)).includes("Each call is recorded before it runs") && !(await text(boss)).includes("does not hold"), await text(boss));
  await boss.click("nav >> text=Budgets");
  check("budgets are shown", (await text(boss)).includes("There is no budget"), await text(boss));

  // === hostile text ===
  const corpus = JSON.parse(readFileSync(path.join(here, "hostile-text.json"), "utf8"));
  const plain = (text) => /^[!#-&(-\[\]-_{-~a-z]{1,200}$/.test(text);
  const words = corpus.map((text) => text.replaceAll(" ", "/")).filter(plain);
  for (const [number, hostile] of corpus.entries()) {
    const { hold: known, text: answer } = await call(ada, "echo", { text: hostile });
    if (!known) {
      check(`hostile text is asked about: ${hostile.slice(0, 40)}`, false, answer);
      continue;
    }
    await boss.goto(`${base}/holds/${known}`);
    const there = await boss.evaluate(() => ({
      foreign: document.querySelectorAll("main img, main iframe, main object, main embed, main script, main style, main link, main base, main meta, main video, main audio, main math, main [style], main [onload], main [onerror], main [onclick]").length,
      scripts: document.scripts.length,
      title: document.title,
      invisible: /[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\u00ad]/.test(document.body.innerText),
    }));
    if (there.foreign || there.scripts !== 1 || there.invisible) check(`hostile text is text: ${hostile}`, false, there);
    if (number < 6) {
      await boss.fill("#reason", hostile.replaceAll("\n", " ").slice(0, 900));
      await boss.click("button:has-text('Deny')");
      await boss.waitForSelector(".decisions");
    } else cli("holds", "deny", known);
  }
  for (const word of words) {
    const swarm = key("crowd", "local", word.slice(0, 100), "one:use");
    await call(swarm, word, {});
  }
  for (const address of ["/calls", "/", "/?state=denied", `/calls?q=${encodeURIComponent(corpus[0])}&tool=${encodeURIComponent(corpus[1])}`]) {
    await boss.goto(`${base}${address}`);
    const foreign = await boss.locator("main img, main iframe, main script, main style, main [onload], main [onerror]").count();
    check(`hostile names are text at ${address.slice(0, 20)}`, foreign === 0, foreign);
  }
  check(`${corpus.length} hostile texts as arguments, ${words.length} as names of tools and agents: no page did anything`, misdeeds.length === 0 && corpus.length >= 40 && words.length >= 15, [misdeeds, words.length]);

  // === other sites: a page of another origin, whose forms even carry the cookie, for ports are one site ===
  const fifth = await call(ada, "echo", { text: "fifth" });
  const evil = createServer((request, answer) => {
    answer.setHeader("content-type", "text/html");
    const target = new URL(request.url, "http://x").searchParams.get("to");
    answer.end(`<form method=post action="${target}"><input name=decision value=approve><input name=token value=guess></form><iframe src="${base}/holds/${fifth.hold}"></iframe><script>setTimeout(() => document.forms[0].submit(), 300)</script>`);
  });
  await new Promise((resolve) => evil.listen(0, resolve));
  const before = misdeeds.splice(0);
  for (const host of ["127.0.0.1", "localhost"]) {
    for (const to of [`${base}/holds/${fifth.hold}`, `${base}/logout`, `${base}/login`]) {
      // A body that is refused unread may reset the connection before the answer is read: that is a refusal, too.
      const refused = new Promise((resolve) => {
        boss.on("response", (response) => response.request().method() === "POST" && resolve(response.status()));
        boss.on("requestfailed", (request) => request.method() === "POST" && resolve(403));
      });
      await boss.goto(`http://${host}:${evil.address().port}/?to=${encodeURIComponent(to)}`, { waitUntil: "commit" });
      const status = await refused;
      // Where that form has led to is left before the next one.
      while (!(await boss.goto("about:blank").then(() => true, () => false)));
      if (status !== 403) check(`a form of another origin at ${host} to ${to}`, false, status);
    }
  }
  misdeeds.splice(0, misdeeds.length, ...before);
  evil.close();
  evil.closeAllConnections();
  await boss.goto(`${base}/`);
  check("forms of other origins decide nothing and end no session", state(fifth.hold) === "pending" && (await text(boss)).includes("Approvals"));

  // === keyboard only, and without any script ===
  {
    const page = await window_();
    await page.goto(`${base}/`);
    await page.keyboard.type(bossKey);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-row]");
    await page.keyboard.press("Tab");
    check("the first stop of the keyboard skips to the content", (await page.evaluate(() => document.activeElement.className)) === "skip");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    const at = await page.evaluate(() => document.activeElement.getAttribute("href"));
    await page.keyboard.press("Enter");
    await page.waitForURL(`${base}${at}`);
    for (let step = 0; step < 40; step++) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate(() => document.activeElement.value)) === "approve") break;
    }
    const visible = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    check("where the keyboard is can be seen", visible === "solid", visible);
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=sends it again until");
    check("by keyboard alone a call is found and approved", state(at.split("/").pop()) === "approved", at);
    await page.context().close();
  }
  {
    const page = await signIn(await window_({ javaScriptEnabled: false }), bossKey);
    const sixth = await call(ada, "echo", { text: "sixth" });
    await page.goto(`${base}/holds/${sixth.hold}`);
    await page.click("text=Approve once");
    check("without any script a call is approved", state(sixth.hold) === "approved");
    await page.context().close();
  }

  // === a session that ends meanwhile ===
  {
    const made = cli("key", "add", "--user", "temp", "--agent", "console", "--scope", "refmon:approve");
    const page = await signIn(await window_(), made.key);
    const seventh = await call(ada, "echo", { text: "seventh" });
    await page.goto(`${base}/holds/${seventh.hold}`);
    cli("key", "revoke", made.id);
    await page.click("text=Approve once");
    check("a revoked key decides nothing, and the page says so", (await text(page)).includes("so nothing was done") && state(seventh.hold) === "pending", await text(page));
    await page.context().close();
  }
  check("no page has done what it must not", misdeeds.length === 0, misdeeds);

  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    const dangerous = await call(ada, "echo", { text: "pаyments to \u202egnp.exe and alice@example.com" });
    const calls = await (await boss.goto(`${base}/calls?reason=approved`)).text();
    const pages = { login: "/login", queue: "/", denied: "/?state=denied", hold: `/holds/${dangerous.hold ?? fifth.hold}`, calls: "/calls", call: calls.match(/\/calls\/[0-9a-f-]{36}/)[0], missing: "/holds/x" };
    for (const name of ["servers", "policies", "budgets", "health"]) pages[name] = `/${name}`;
    pages.agents = "/agents?user=ada&agent=planner&scopes=one:use";
    for (const [look, options] of Object.entries({ light: {}, dark: { colorScheme: "dark" }, narrow: { viewport: { width: 400, height: 800 } } })) {
      const page = await window_(options);
      await page.goto(`${base}/login`);
      await page.screenshot({ path: path.join(pictures, `login-${look}.png`) });
      await signIn(page, bossKey);
      for (const [name, address] of Object.entries(pages).filter(([name]) => name !== "login")) {
        await page.goto(`${base}${address}`);
        await page.screenshot({ path: path.join(pictures, `${name}-${look}.png`), fullPage: true });
        if (look === "narrow" && (await page.evaluate(() => document.documentElement.scrollWidth)) > 400) check(`${name} fits 400 pixels`, false);
      }
      await page.context().close();
    }
  }
} catch (error) {
  check("the scenario comes to its end", false, `${error.stack}`);
} finally {
  await browser.close();
  gateway.kill();
}
console.log(`${checks.filter(Boolean).length} of ${checks.length} hold`);
process.exit(checks.every(Boolean) ? 0 : 1);
