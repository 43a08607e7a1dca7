// The dashboard as people meet it: the built binary, the mock provider behind it, Debian's Chromium in front.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { chromium } = require("playwright-core");

const KEYS = 240;
// With SCREENSHOTS=1 the README's pictures are made anew; the others go where they can be looked at.
const README = process.env.SCREENSHOTS ? ["dashboard", "dashboard-dark", "dashboard-phone", "key"] : [];
const IMAGES = path.join(__dirname, "../../docs/images");
const ELSEWHERE = path.join(process.env.CARGO_TARGET_DIR ?? path.join(__dirname, "../../target"), "ui/images");
const TOKEN = "token-of-an-admin-6666";
const keys = Array.from({ length: KEYS }, (_, number) => `sk-proj-${String(number).padStart(4, "0")}abcdefghijklmnop${String(number).padStart(4, "0")}`);
// Every twelfth key is revoked, every tenth is out of quota, every seventh is limited.
const plays = keys.map((key, number) => {
  if (number % 12 === 5) return `${key} revoked`;
  if (number % 10 === 3) return `${key} out_of_quota`;
  if (number % 7 === 2) return `${key} rate_limited requests=1 per=120s`;
  return `${key} valid`;
});

let folder, mock, provider, gptLoad, port, browser;

function started(child, pattern) {
  return new Promise((resolve, reject) => {
    let said = "";
    const listen = (piece) => {
      said += piece;
      const found = said.match(pattern);
      if (found) resolve(found[1]);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("exit", () => reject(new Error(`it ended:\n${said}`)));
  });
}
async function serve(more = {}) {
  const env = { HOST: "127.0.0.1", PORT: String(port ?? 0), WORKERS: "2", LOG_FORMAT: "json", OPENAI_BASE_URL: provider, MAX_CONCURRENT_REQUESTS: "1000", ...more };
  gptLoad = spawn(process.env.GPT_LOAD, { cwd: folder, env });
  port = Number((await started(gptLoad, /"address":"127\.0\.0\.1:(\d+)"/)));
}
function stop(child) {
  return new Promise((resolve) => {
    child.removeAllListeners("exit");
    child.on("exit", resolve);
    child.kill("SIGKILL");
  });
}
function post(where, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(where, { method: "POST", headers: { "content-type": "application/json", ...headers } }, (answer) => {
      let text = "";
      answer.on("data", (piece) => { text += piece; });
      answer.on("end", () => resolve({ status: answer.statusCode, text }));
    });
    request.on("error", reject);
    request.end(JSON.stringify(body));
  });
}
const url = (target) => `http://127.0.0.1:${port}${target}`;
const json = async (target) => (await fetch(target)).json();
async function chats(count, stream = false) {
  const models = ["gpt-4o", "gpt-4o-mini"];
  for (let done = 0; done < count; done += 10) {
    await Promise.all(Array.from({ length: Math.min(10, count - done) }, (_, number) => post(url("/v1/chat/completions"), {
      model: models[number % 3 ? 1 : 0], messages: [{ role: "user", content: "Hi" }], stream, stream_options: stream ? { include_usage: true } : undefined,
      mock: { delay: `${20 + 40 * (number % 5)}ms`, pace: "4ms" },
    })));
  }
}
async function open(options = {}, target = "/dashboard") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", colorScheme: "light", ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/status of (401|409)|ERR_CONNECTION/.test(message.text())) problems.push(message.text()); });
  page.on("request", (request) => { if (!request.url().startsWith(url("")) && !request.url().startsWith("data:")) problems.push(`asked ${request.url()}`); });
  await page.goto(url(target));
  page.problems = problems;
  return page;
}
// How badges and pills stand out from what is behind them, as WCAG reckons; and that none is broken into lines.
function contrasts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colours) => {
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(".badge, .pill")].filter((node) => node.checkVisibility()).map((node) => {
    const behind = [];
    for (let at = node; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [back, text] = [light(behind), light([...behind, getComputedStyle(node).color])];
    const lines = Math.round(node.getBoundingClientRect().height / 24);
    return { text: node.textContent, lines, ratio: (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05) };
  });
}
const shoot = (page, name, options = {}) => page.screenshot({ path: path.join(README.includes(name) ? IMAGES : ELSEWHERE, `${name}.png`), ...options });
const tile = (page, name) => page.locator(".tile", { has: page.locator("h3", { hasText: name }) }).locator(".figure");
const number = (text) => Number(text.replace(/[^\d.]/g, ""));

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "gpt-load-ui-"));
  fs.writeFileSync(path.join(folder, "keys.txt"), keys.join("\n"));
  fs.writeFileSync(path.join(folder, "plays.txt"), plays.join("\n"));
  mock = spawn(process.env.MOCK_PROVIDER, ["--keys", "plays.txt", "--tokens", "12"], { cwd: folder, env: {} });
  provider = await started(mock, /listening on (\S+)/);
  await serve();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  await chats(300);
  await chats(100, true);
});
after(async () => {
  await browser?.close();
  for (const child of [gptLoad, mock]) if (child && child.exitCode === null) await stop(child);
  fs.rmSync(folder, { recursive: true, force: true });
});

test("every figure is the provider's own", async () => {
  const page = await open();
  await page.waitForSelector("#keys-table tbody tr");
  // Some time's worth, so that the charts have something to show.
  for (let round = 0; round < 12; round++) {
    await chats(30, round % 2 === 0);
    await page.waitForTimeout(900);
  }
  const { success_count: succeeded } = (await json(url("/stats"))).requests;
  const told = (want) => [...document.querySelectorAll("#usage tbody td.num:nth-child(2)")].reduce((sum, cell) => sum + Number(cell.textContent.replace(/\D/g, "")), 0) === want;
  await page.waitForFunction(told, succeeded);
  const seen = await json(`${provider}/_mock/seen`);
  const stats = await json(url("/stats"));
  // What was asked when keys that are lost for good were checked, after 20 s, is no request's attempt.
  const asked = seen.requests - stats.revalidation.checked;
  assert.equal(stats.requests.attempts, asked);
  assert.equal(number(await tile(page, "Errors saved").innerText()), stats.requests.healed);
  assert.equal(number(await tile(page, "Keys in rotation").innerText()), stats.keys.healthy);
  const attempts = await page.locator("#upstreams tbody tr td.num").first().innerText();
  assert.equal(number(attempts), asked);
  const requests = await page.locator("#usage tbody tr td.num:nth-child(2)").allInnerTexts();
  assert.equal(requests.map(number).reduce((sum, one) => sum + one), stats.requests.success_count);
  const lost = await page.locator(".bars li", { hasText: "Key invalid" }).locator("strong").innerText();
  assert.equal(number(lost), plays.filter((play) => play.endsWith("revoked")).length);
  assert.equal(await page.locator(".plot svg path.line").count() > 8, true);
  assert.deepEqual(page.problems, []);
  await shoot(page, "dashboard");
  await shoot(page, "dashboard-whole", { fullPage: true });
  await page.context().close();
});

test("the first paint is early and the page is small", async () => {
  const page = await open();
  await page.waitForSelector(".tile");
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const bytes = await page.evaluate(() => performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/dashboard/")).reduce((sum, entry) => sum + entry.decodedBodySize, 0));
  console.log(`first contentful paint ${paint} ms, ${bytes} bytes of files`);
  assert.ok(bytes > 0 && bytes < 150_000);
  assert.ok(paint < 1500, `${paint} ms`);
  await page.context().close();
});

test("keys are filtered, searched, sorted and paged", async () => {
  const page = await open();
  const revoked = plays.filter((play) => play.endsWith("revoked")).length;
  await page.selectOption("#filter-state", "blacklisted");
  await page.waitForFunction((count) => document.querySelector("#matching").textContent.endsWith(`of ${count}`), revoked);
  await page.selectOption("#filter-state", "all");
  await page.waitForFunction((count) => document.querySelector("#matching").textContent.endsWith(`of ${count}`), KEYS);
  await page.click("#later");
  await page.waitForFunction(() => document.querySelector("#matching").textContent.startsWith("26–50"));
  await page.fill("#q", "0017");
  await page.waitForFunction(() => document.querySelectorAll("#keys-table tbody tr").length === 1);
  assert.match(await page.locator("#keys-table tbody th").innerText(), /sk-proj-\.\.\.0017/);
  await page.fill("#q", "#3");
  await page.waitForFunction(() => document.querySelector("#keys-table tbody th")?.textContent.includes("0003") && document.querySelectorAll("#keys-table tbody tr").length === 1);
  await page.fill("#q", "");
  await page.selectOption("#filter-reason", "key_exhausted");
  await page.selectOption("#sort", "recovers.asc");
  await page.waitForFunction(() => document.querySelectorAll("#keys-table .reason").length > 3);
  await page.selectOption("#failure-verdict", "key_limited");
  await page.waitForFunction(() => [...document.querySelectorAll("#failures .reason")].every((reason) => reason.textContent === "Key rate limited"));
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("the keyboard alone will do", async () => {
  const page = await open();
  await page.waitForSelector("#keys-table tbody tr");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.locator("#chart-keys .plot").focus();
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.locator("#chart-keys .tip").innerText(), /In rotation/);
  await page.locator("#keys-table .link").first().focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#story[open]");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#story:not([open])", { state: "attached" });
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select, [role=img]")].filter((node) => node.checkVisibility() && !(node.textContent.trim() || node.getAttribute("aria-label") || node.labels?.length)).map((node) => node.outerHTML));
  assert.deepEqual(unnamed, []);
  await page.context().close();
});

test("a key is looked at, restored and set aside, each only when confirmed", async () => {
  const page = await open();
  await page.selectOption("#filter-state", "blacklisted");
  await page.waitForFunction(() => document.querySelectorAll("#keys-table .tone-cooldown").length === 0 && document.querySelector("#keys-table .link"));
  const preview = page.locator("#keys-table tbody tr .link").first();
  await preview.click();
  await page.waitForSelector("#story[open]");
  const story = await page.locator("#story").innerText();
  assert.match(story, /Key invalid/);
  assert.match(story, /checked every 1 h/);
  assert.match(story, /Incorrect API key/);
  assert.match(story, /Requests failed for it\s+1\b/);
  await shoot(page, "key");
  await page.click("#story-actions button");
  await page.waitForSelector("#ask[open]");
  const healthy = (await json(url("/health"))).healthy_keys;
  await page.click("#ask button[value=no]");
  assert.equal((await json(url("/health"))).healthy_keys, healthy, "nothing is done before it is confirmed");
  await page.click("#story-actions button");
  await page.click("#ask-yes");
  await page.waitForFunction(() => document.querySelector("#said").textContent.includes("back"));
  assert.equal((await json(url("/health"))).healthy_keys, healthy + 1);
  await page.selectOption("#filter-state", "available");
  await page.waitForSelector("#keys-table button[data-act=blacklist]");
  await page.locator("#keys-table button[data-act=blacklist]").first().click();
  await page.click("#ask-yes");
  await page.waitForFunction(() => document.querySelector("#said").textContent.includes("set aside"));
  assert.equal((await json(url("/health"))).healthy_keys, healthy);
  await page.selectOption("#filter-state", "all");
  await page.selectOption("#filter-reason", "operator");
  await page.waitForFunction(() => [...document.querySelectorAll("#keys-table tbody tr")].map((row) => row.textContent).join().match(/Set aside by an operator.*when restored/));
  assert.equal(await page.locator("#keys-table tbody tr").count(), 1);
  await page.click("#restore-all");
  await page.click("#ask-yes");
  await page.waitForFunction(() => document.querySelector("#said").textContent.includes("All keys"));
  assert.equal((await json(url("/health"))).healthy_keys, KEYS);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("it is read in Chinese, in the dark, on a phone and on a wall", async () => {
  // Every key has its turn: those that are no good are out again.
  await chats(300);
  for (const [name, options, dark, chinese] of [
    ["dashboard-dark", { colorScheme: "dark" }, true, false],
    ["dashboard-zh", { locale: "zh-CN" }, false, true],
    ["dashboard-phone-zh", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, locale: "zh-CN" }, false, true],
    ["dashboard-phone", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, false, false],
    ["dashboard-wall", { viewport: { width: 2560, height: 1440 } }, false, false],
  ]) {
    const page = await open(options);
    await page.waitForSelector("#keys-table table");
    await page.waitForSelector(".plot svg");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name} scrolls sideways by ${wide}`);
    const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(back === "rgb(15, 18, 23)", dark, name);
    assert.equal(/每秒请求/.test(await page.locator("#tiles").innerText()), chinese, name);
    await shoot(page, name);
    await page.selectOption("#filter-state", "all");
    for (const state of ["available", "cooldown", "blacklisted"]) await page.waitForSelector(`#keys-table .badge.tone-${state}`);
    const badges = await page.evaluate(contrasts);
    assert.deepEqual(badges.filter(({ ratio, lines }) => ratio < 4.5 || lines > 1), [], name);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }
  const page = await open();
  await page.click("#language");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
  const left = await page.evaluate(() => [...document.querySelectorAll("[data-t], option, th")].map((node) => node.textContent).filter((text) => text === "undefined"));
  assert.deepEqual(left, []);
  await page.click("#theme");
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN", "what was chosen is kept");
  await page.context().close();
});

test("many models leave the keys where they are, and a figure that nobody told is none", async () => {
  for (let model = 0; model < 12; model++) {
    await post(url("/v1/chat/completions"), { model: `untold-${model}`, messages: [{ role: "user", content: "Hi" }], stream: true });
  }
  const page = await open();
  await page.waitForSelector("#usage tbody tr");
  assert.equal(await page.locator("#usage tbody tr").count(), 10);
  await page.click("#usage button");
  await page.waitForFunction(() => document.querySelectorAll("#usage tbody tr").length === 14);
  const told = await page.locator("#usage tbody tr", { hasText: "untold-3" }).locator(".num").allInnerTexts();
  assert.deepEqual(told, ["1", "–", "–", "–"]);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.act), "models");
  await page.click("#usage button");
  await page.waitForFunction(() => document.querySelectorAll("#usage tbody tr").length === 10);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("a restart of the server is survived", async () => {
  const page = await open();
  await page.waitForSelector(".pill.well");
  await stop(gptLoad);
  await page.waitForSelector(".pill.gone");
  assert.equal(await page.locator("#trouble").isVisible(), true);
  await serve();
  await page.waitForSelector(".pill.well", { timeout: 30_000 });
  assert.equal(await page.locator("#trouble").isVisible(), false);
  assert.equal(number(await tile(page, "Keys in rotation").innerText()), KEYS);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("the token is asked for, and kept in the session alone", async () => {
  await stop(gptLoad);
  await serve({ ADMIN_KEY: TOKEN });
  const page = await open();
  await page.waitForSelector("#login[open]");
  assert.equal(await page.locator(".tile").count(), 0, "nothing is shown before");
  await shoot(page, "login");
  // However the dialog is left, there is a way back to it.
  for (let time = 0; time < 2; time++) {
    await page.keyboard.press("Escape");
    await page.waitForSelector("#login:not([open])", { state: "attached" });
    await page.click("#enter");
    await page.waitForSelector("#login[open]");
  }
  await page.fill("#token", "токен");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#login[open]") && !document.querySelector("#login-wrong").hidden);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, "what can't be a token is not kept");
  await page.keyboard.press("Escape");
  await page.click("#enter");
  await page.fill("#token", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#login[open]") && !document.querySelector("#login-wrong").hidden);
  await page.fill("#token", TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".tile");
  await page.reload();
  await page.waitForSelector(".tile");
  const kept = await page.evaluate((token) => [JSON.stringify(localStorage).includes(token), document.cookie.includes(token), location.href.includes(token), JSON.stringify(sessionStorage).includes(token)], TOKEN);
  assert.deepEqual(kept, [false, false, false, true]);
  await page.selectOption("#filter-state", "all");
  await page.waitForSelector("#keys-table tbody tr");
  await page.click("#forget");
  await page.waitForSelector("#login[open]");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  const left = await page.evaluate(() => document.body.textContent + document.body.innerHTML);
  assert.ok(!/sk-proj|127\.0\.0\.1/.test(left), "nothing that the token showed is left");
  assert.equal(await page.locator("#main").isVisible(), false);
  await page.evaluate(() => sessionStorage.setItem("token", "токен"));
  await page.reload();
  await page.waitForSelector("#login[open]");
  assert.deepEqual(page.problems, []);
  await page.context().close();
});
