// What the walks share: a Chromium, the demo's mailboxes, mail into the gateway, and the findings.
import { createServer } from "node:http";
import { connect } from "node:net";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const axeRun = `${axeSource};axe.run(document,{iframes:false,resultTypes:["violations"]}).then(r=>JSON.stringify(r.violations.filter(v=>["serious","critical"].includes(v.impact)).map(v=>v.id+": "+v.nodes.map(n=>n.target).join(" "))))`;

export const findings = new Set();
export const counts = { pages: 0, axe: 0, policy: 0 };

export function expect(holds, otherwise) {
  if (!holds) findings.add(otherwise);
  return holds;
}

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/// A person with a browser of their own. Whatever leaves the house or breaks its policy is a finding.
export async function visitor(browser, host, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, locale: "en-GB", ...options });
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.host !== host) findings.add(`foreign request: ${url.host}`);
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to|violat/i.test(message.text())) findings.add(`policy: ${(counts.policy += 1, message.text())}`);
  });
  page.on("pageerror", (error) => findings.add(`script: ${error.message}`));
  return page;
}

// A window without the site's own policy in the way of axe is no window of the site: axe is run in an
// isolated world through the debugger, so the policy stays as it is.
async function axe(page, name) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression: axeRun, contextId: executionContextId, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(`axe on ${name}: ${exceptionDetails.exception?.description}`);
  for (const finding of JSON.parse(result.value)) findings.add(`${name}: axe: ${(counts.axe += 1, finding)}`);
  await session.detach();
}

const pictures = process.env.PICTURES ?? "target/walk";
mkdirSync(pictures, { recursive: true });

/// Looks at a page as it is, light and dark, narrow and wide.
export async function look(page, name) {
  counts.pages += 1;
  const words = await page.evaluate(() => document.documentElement.outerHTML);
  expect(!/end.to.end/i.test(words), `${name}: says "end-to-end"`);
  expect(!/style="|<style|<script|\son[a-z]+=/.test(words.replace(/<iframe[^>]*>/g, "")), `${name}: something inline`);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await axe(page, `${name} ${colorScheme}`);
    for (const size of [390, 1280]) {
      await page.setViewportSize({ width: size, height: 900 });
      // A sandboxed frame is drawn by a process of its own, which hears of its new width a little later.
      if (page.frames().length > 1) await page.waitForTimeout(300);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      expect(!wide, `${name}: wider than ${size} px`);
      await page.screenshot({ path: `${pictures}/${name}-${size}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/// The demo's mailboxes.
export class Mailboxes {
  constructor(address) {
    this.address = address;
  }

  async all() {
    return (await fetch(`${this.address}/messages.json`)).json();
  }

  async count() {
    return (await this.all()).length;
  }

  /// The newest mail to somebody that holds this, waited for.
  async wait(to, holds, after = 0) {
    for (let tries = 0; tries < 300; tries++) {
      const found = (await this.all()).filter((message) => message.number > after && message.to.includes(to) && holds(message));
      if (found.length) return found.at(-1);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`nothing came for ${to}`);
  }

  async link(to, after = 0) {
    return (await this.wait(to, (message) => message.link, after)).link;
  }

  async password(to, after) {
    const message = await this.wait(to, (message) => /^\s*[0-9A-Z]{5}-[0-9A-Z]{5}\s*$/m.test(message.text), after);
    return message.text.match(/^\s*([0-9A-Z]{5}-[0-9A-Z]{5})\s*$/m)[1];
  }
}

/// One mail into the gateway.
export async function send(port, to, message) {
  const socket = connect(port, "127.0.0.1");
  const replies = (async function* () {
    let text = "";
    for await (const octets of socket) {
      text += octets;
      for (let end; (end = text.search(/^\d{3} .*\r\n/m)) >= 0; ) {
        const next = text.indexOf("\r\n", end) + 2;
        yield text.slice(end, next);
        text = text.slice(next);
      }
    }
  })();
  const say = async (line) => {
    if (line) socket.write(line);
    const { value } = await replies.next();
    if (!/^[23]/.test(value ?? "")) throw new Error(`${line?.slice(0, 60)}: ${value}`);
  };
  await say("");
  await say("EHLO laptop.clinic.example\r\n");
  await say("MAIL FROM:<emma@clinic.example>\r\n");
  await say(`RCPT TO:<${to}>\r\n`);
  await say("DATA\r\n");
  await say(`${message.replace(/\r?\n/g, "\r\n").replace(/^\./gm, "..")}\r\n.\r\n`);
  socket.end("QUIT\r\n");
}

/// A server of our own on loopback; `answer(request)` gives [headers, body].
export async function serve(answer) {
  const server = createServer((request, response) => {
    const [headers, body] = answer(request);
    response.writeHead(200, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/// Link → address → password by mail → inside.
export async function enter(page, { link, address, mailboxes, looks = async () => {}, isWrongFirst = false }) {
  await page.goto(link);
  await looks("1-landing");
  await page.fill("#address", address);
  await page.click("button.primary");
  await page.waitForURL("**/password*");
  await looks("3-password");
  const before = await mailboxes.count();
  await page.click("button.primary");
  await page.waitForSelector("#password");
  await looks("4-password-field");
  if (isWrongFirst) {
    await page.fill("#password", "AAAAA-AAAAA");
    await page.click("form:not(.second) button.primary");
    await page.waitForSelector("[role=alert]");
    await looks("4-wrong-password");
  }
  await page.fill("#password", await mailboxes.password(address, before));
  await page.click("form:not(.second) button.primary");
  await page.waitForURL("**/message*");
}

export function report(what) {
  for (const finding of findings) console.error(`  ${finding}`);
  console.log(`${what}: ${findings.size ? `${findings.size} findings` : "clean"}`);
  process.exit(findings.size ? 1 : 0);
}
