// Walks from the mail to the downloaded file, as recipients would, in a real browser, and looks at every page.
//
//   node walk.mjs OVERVIEW SMTP-PORT
//
// Fails on: another file than the one that was sent, a look that changes anything, a violation of the content
// security policy, a script error, a request to a foreign host, a link in a Referer, a serious finding of axe,
// a page that is wider than its window or says "end-to-end".
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { counts, enter, expect, findings, launch, look, Mailboxes, report, send, serve, visitor } from "./house.mjs";

const [overview, smtp] = process.argv.slice(2);
const mailboxes = new Mailboxes(overview);
const browser = await launch();
const sum = (octets) => createHash("sha256").update(octets).digest("hex");

async function save(page, press) {
  const [download] = await Promise.all([page.waitForEvent("download", { timeout: 15000 }), press()]);
  return readFileSync(await download.path());
}

/// What the page shows of what is left, and the mails so far: what a look must not change.
async function standing(page) {
  const text = (await (await page.context().request.get(page.url())).text()).replace(/value="[^"]*"/g, "");
  return JSON.stringify([(text.match(/(One|No|\d+) downloads? left/g) ?? []).join(), await mailboxes.count()]);
}

async function hundred(page, paths) {
  const before = await standing(page);
  for (const path of paths) {
    const seen = new Set();
    for (let round = 0; round < 100; round++) {
      const answer = await page.context().request.fetch(new URL(path, page.url()).href, { method: round % 2 ? "HEAD" : "GET", maxRedirects: 0 });
      seen.add(answer.status());
    }
    expect(seen.size === 1, `${path}: answers ${[...seen]} in turn`);
  }
  expect((await standing(page)) === before, `a hundred looks changed ${before}`);
}

async function message() {
  const [link, address] = [await mailboxes.link("jonas@mail.example"), "jonas@mail.example"];
  const host = new URL(link).host;
  const page = await visitor(browser, host);
  await page.goto(link);
  await page.fill("#address", "somebody.else@mail.example");
  await page.click("button.primary");
  await look(page, "2-wrong-address");
  await enter(page, { link, address, mailboxes, looks: (name) => look(page, name), isWrongFirst: true });
  await look(page, "5-message");
  await hundred(page, [link, "/message", "/message/body", "/message/print", "/password", "/message/download", "/message/all", "/message/save", "/leave", "/help", "/"]);
  const file = await save(page, () => page.click(".files button >> nth=0"));
  expect(sum(file) === sum("person,value,unit\n850709-9805,141,g/l\n850709-9805,4.9,mmol/l\n"), "the file is not the one that was sent");
  await page.click(".files summary >> nth=0");
  expect((await page.locator(".files .sum").first().textContent()).trim() === sum(file), "the checksum shown is another");
  const kept = (await save(page, () => page.click("form[action^='/message/save'] button"))).toString();
  expect(kept.includes("Subject: Your results") && kept.includes(Buffer.from("person,value,unit\n850709-9805,141,g/l\n").toString("base64").slice(0, 40)), "the saved message is another");
  await page.goto(new URL("/message/print", link).href);
  await page.screenshot({ path: "target/walk/6-print.png", fullPage: true });
  await page.goto(new URL("/message", link).href);
  await page.click("form[action^='/leave'] button");
  await look(page, "7-left");
  await page.goto(new URL("/message", link).href);
  await look(page, "8-ended");
  for (const [name, path] of [["9-help", "/help"], ["10-home", "/"], ["11-gone", `/m/${"a".repeat(32)}`], ["12-missing", "/nothing"]]) {
    await page.goto(new URL(path, link).href);
    await look(page, name);
  }
}

async function files() {
  const [link, address] = [await mailboxes.link("karin@mail.example"), "karin@mail.example"];
  const page = await visitor(browser, new URL(link).host, { locale: "sv-SE" });
  await enter(page, { link, address, mailboxes, looks: (name) => look(page, `sv-${name}`) });
  await look(page, "sv-5-files");
  const file = await save(page, () => page.click(".files button >> nth=0"));
  expect(sum(file) === sum("time,what,where\n10:00,Welcome,Hall\n10:30,Tour of the house,Entrance\n12:00,Lunch,Garden\n"), "the files' file is another");
  await page.goto(new URL("/help", link).href);
  await look(page, "sv-9-help");
}

async function open() {
  const content = "Parking is free on Sunday.\n".repeat(3000);
  const part = (name) => `--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename="${name}"\nContent-Transfer-Encoding: base64\n\n${Buffer.from(content).toString("base64").replace(/(.{76})/g, "$1\n")}\n`;
  const before = await mailboxes.count();
  await send(smtp, "lotta@mail.example", `From: Emma Lind <emma@clinic.example>\nTo: lotta@mail.example\nSubject: [public] [max: 3] Parking\nMessage-ID: <parking@clinic.example>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nFor everybody.\n${part("parking.txt")}${part("Parking.TXT")}--b--\n`);
  const link = await mailboxes.link("lotta@mail.example", before);
  const page = await visitor(browser, new URL(link).host);
  await page.goto(link);
  await look(page, "13-public");
  await hundred(page, [link]);
  await page.check("input[name=person]");
  await page.click("button.primary");
  await page.waitForURL("**/message*");
  await look(page, "14-public-files");
  expect((await standing(page)).includes("3 downloads left"), "nothing is limited that a look could spend");
  await hundred(page, [link, "/message", "/message/body", "/message/print", "/message/download", "/message/all", "/message/save", "/password", "/password/send", "/leave"]);
  expect(sum(await save(page, () => page.click(".files button >> nth=0"))) === sum(content), "the public file is another");
  const archive = await save(page, () => page.click("form[action^='/message/all'] button"));
  expect(archive.readUInt32LE(0) === 0x04034b50 && archive.includes("parking.txt") && archive.length > 2 * content.length, "the archive is none");
}

/// A link in a message is followed: what the other end learns.
async function outgoing() {
  const heard = [];
  const elsewhere = await serve((request) => (heard.push(request.headers), [{ "content-type": "text/plain" }, "hello"]));
  for (const [kind, body] of [["plain", `See ${elsewhere.address}/plain today, 850709-9805.`], ["html", `<p>See <a href="${elsewhere.address}/html">this page</a>, 850709-9805.</p>`]]) {
    const [address, before] = [`${kind}@mail.example`, await mailboxes.count()];
    await send(smtp, address, `From: emma@clinic.example\nTo: ${address}\nSubject: a link\nMIME-Version: 1.0\nContent-Type: text/${kind}\n\n${body}\n`);
    const context = await browser.newContext();
    const page = await context.newPage();
    await enter(page, { link: await mailboxes.link(address, before), address, mailboxes });
    const where = kind === "plain" ? page.locator(".text a") : page.frameLocator("iframe").locator("a");
    await Promise.all([context.waitForEvent("page").then((opened) => opened.waitForLoadState()), where.click()]);
    await context.close();
  }
  expect(heard.length >= 2, "the link in the message did not open");
  for (const headers of heard) {
    const learned = headers.referer ?? headers.origin ?? elsewhere.address;
    expect(learned.startsWith(elsewhere.address), `a foreign host learned ${learned}`);
  }
  elsewhere.close();
}

try {
  await message();
  await files();
  await open();
  await outgoing();
} catch (error) {
  findings.add(error.stack);
} finally {
  await browser.close();
}
report(`the walk: ${counts.pages} pages in light and dark, narrow and wide; ${counts.axe} serious findings of axe, ${counts.policy} violations of the policy`);
