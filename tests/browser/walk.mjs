// Walks from the link in the mail to the downloaded file, as a recipient would, and looks at every page.
//
//   node walk.mjs --link URL --address ADDRESS --password-command COMMAND [--public URL] [--sha256 HEX] [--pictures FOLDER]
//
// The command is run until it prints something with a password (XXXXX-XXXXX) in it: a mail, or the
// password alone. Fails on: a wrong checksum, a violation of the content security policy, a script error,
// a request to a foreign host, a serious finding of axe.
import { createHash } from "node:crypto";
import { execSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const text = { type: "string" };
const { values: given } = parseArgs({
  options: { link: text, public: text, address: text, "password-command": text, sha256: text, pictures: text, chromium: text },
});
for (const needed of ["link", "address", "password-command"]) {
  if (!given[needed]) {
    console.error(`--${needed} is missing`);
    process.exit(2);
  }
}
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const host = new URL(given.link).host;
const findings = [];
const pictures = given.pictures;
if (pictures) mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: given.chromium ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// A window without the site's own policy in the way of axe is no window of the site: axe is run in an
// isolated world through the debugger, so the policy stays as it is.
async function axe(page, name) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const run = `${axeSource};axe.run(document,{iframes:false,resultTypes:["violations"]}).then(r=>JSON.stringify(r.violations.filter(v=>["serious","critical"].includes(v.impact)).map(v=>v.id+": "+v.nodes.map(n=>n.target).join(" "))))`;
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression: run, contextId: executionContextId, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(`axe on ${name}: ${exceptionDetails.exception?.description}`);
  for (const finding of JSON.parse(result.value)) findings.push(`${name}: axe: ${finding}`);
  await session.detach();
}

async function look(page, name) {
  await axe(page, name);
  const { width } = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await axe(page, `${name} ${colorScheme}`);
    for (const size of [390, 1280]) {
      await page.setViewportSize({ width: size, height: 900 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      if (wide) findings.push(`${name}: wider than ${size} px`);
      if (pictures) await page.screenshot({ path: `${pictures}/${name}-${size}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width, height: 900 });
}

async function visitor(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to|violat/i.test(message.text())) findings.push(`policy: ${message.text()}`);
  });
  page.on("pageerror", (error) => findings.push(`script: ${error.message}`));
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.host !== host) findings.push(`foreign request: ${url.host}`);
    if (request.headers()["referer"]?.includes("/m/")) findings.push("the link is in a Referer");
  });
  return page;
}

async function password() {
  for (let tries = 0; tries < 100; tries++) {
    try {
      const found = execSync(given["password-command"], { stdio: ["ignore", "pipe", "ignore"] }).toString().match(/\b[0-9A-Z]{5}-[0-9A-Z]{5}\b/);
      if (found) return found[0];
    } catch {
      // Not there yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("no password came");
}

async function save(page, press) {
  const [download] = await Promise.all([page.waitForEvent("download"), press()]);
  return readFileSync(await download.path());
}

try {
  const page = await visitor({ locale: "en-GB", javaScriptEnabled: true });
  await page.goto(given.link);
  await look(page, "1-landing");
  await page.fill("#address", "somebody.else@example.com");
  await page.click("button.primary");
  await look(page, "2-wrong-address");
  await page.fill("#address", given.address);
  await page.click("button.primary");
  await page.waitForURL("**/password*");
  await look(page, "3-password");
  await page.click("button.primary");
  await page.waitForSelector("#password");
  await look(page, "4-password-field");
  await page.fill("#password", "AAAAA-AAAAA");
  await page.click("form:not(.second) button.primary");
  await look(page, "5-wrong-password");
  await page.fill("#password", await password());
  await page.click("form:not(.second) button.primary");
  await page.waitForURL("**/message*");
  await look(page, "6-message");
  const file = await save(page, () => page.click(".files button >> nth=0"));
  if (given.sha256 && createHash("sha256").update(file).digest("hex") !== given.sha256) findings.push("the file is not the one that was sent");
  const shown = await page.locator(".files .sum").first().textContent();
  if (createHash("sha256").update(file).digest("hex") !== shown.trim()) findings.push("the file is not the one whose checksum is shown");
  const all = page.locator("form[action^='/message/all'] button");
  if (await all.count()) {
    const archive = await save(page, () => all.click());
    if (archive.readUInt32LE(0) !== 0x04034b50) findings.push("the archive is none");
  }
  const origin = new URL(given.link).origin;
  await page.click("form[action^='/leave'] button");
  await look(page, "7-left");
  for (const [name, path] of [["8-help", "/help"], ["9-home", "/"], ["10-gone", `/m/${"a".repeat(32)}`], ["11-help-sv", "/help?lang=sv"]]) {
    await page.goto(origin + path);
    await look(page, name);
  }
  const swede = await visitor({ locale: "sv-SE", javaScriptEnabled: true });
  await swede.goto(given.link);
  await look(swede, "12-landing-sv");
  if (given.public) {
    await swede.goto(given.public);
    await look(swede, "13-public-sv");
    await swede.check("input[name=person]");
    await swede.click("button.primary");
    await swede.waitForURL("**/message*");
    await look(swede, "14-files-sv");
  }
} catch (error) {
  findings.push(error.stack);
} finally {
  await browser.close();
}
for (const finding of new Set(findings)) console.error(finding);
console.log(findings.length ? `${new Set(findings).size} findings` : "the walk is clean");
process.exit(findings.length ? 1 : 0);
