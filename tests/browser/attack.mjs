// Scripts in bodies, subjects, names: mailed through the whole gateway, opened in Chromium.
//
//   node attack.mjs OVERVIEW SMTP-PORT
//
// Three times: as the product shows it; with the sandbox and the policy taken away, so that the sanitiser
// stands alone; with the sanitiser taken away, so that sandbox and policy stand alone. Script runs and foreign requests: 0 each
// time. A fourth time with neither, to see that the payloads do run where nothing stops them.
import { enter, expect, findings, launch, Mailboxes, report, send, serve } from "./house.mjs";

const [overview, smtp] = process.argv.slice(2);
const mailboxes = new Mailboxes(overview);
const browser = await launch();
let fetched = 0;
const elsewhere = await serve(() => ((fetched += 1), [{ "content-type": "image/svg+xml", "access-control-allow-origin": "*" }, "<svg xmlns='http://www.w3.org/2000/svg'/>"]));
const X = "console.log('script ran')";
const E = elsewhere.address;
const bodies = [
  `<script>${X}</script>`,
  `<img src=x onerror="${X}">`,
  `<svg onload="${X}"></svg>`,
  `<svg><script>${X}</script></svg>`,
  `<svg><animate onbegin="${X}" attributeName=x dur=1s></svg>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${X}&gt;">`,
  `<svg></p><style><a id="</style><img src=1 onerror=${X}>">`,
  `<noscript><p title="</noscript><img src=x onerror=${X}>"></noscript>`,
  `<form><math><mtext></form><form><mglyph><style></math><img src onerror=${X}>`,
  `<math><annotation-xml encoding="text/html"><img src=x onerror="${X}"></annotation-xml></math>`,
  `<body onload="${X}">`,
  `<details open ontoggle="${X}"><summary>a</summary></details>`,
  `<video src=x onerror="${X}"></video><audio src=x onerror="${X}"></audio>`,
  `<video><source onerror="${X}"></video>`,
  `<input autofocus onfocus="${X}">`,
  `<div tabindex=1 style="animation:a 1s" onanimationstart="${X}"><style>@keyframes a{}</style></div>`,
  `<iframe srcdoc="<script>${X}</script>"></iframe>`,
  `<iframe src="javascript:${X}"></iframe>`,
  `<object data="data:text/html,<script>${X}</script>"></object>`,
  `<embed src="data:text/html,<script>${X}</script>">`,
  `<a id=click href="javascript:${X}">a</a>`,
  `<a id=click2 href=" java&#10;script:${X}">a</a>`,
  `<meta http-equiv=refresh content="0;url=javascript:${X}">`,
  `<link rel=stylesheet href="data:text/css,*{}" onload="${X}">`,
  `<style onload="${X}"></style>`,
  `<marquee onstart="${X}">a</marquee>`,
  `<template><img src=x onerror="${X}"></template>`,
  `<select><template shadowrootmode=open><img src=x onerror="${X}"></template></select>`,
  `<xmp><p title="</xmp><img src=x onerror=${X}>">`,
  `<title><img src=x onerror="${X}"></title>`,
  `<textarea></textarea><img src=x onerror="${X}">`,
  `<!--><img src=x onerror="${X}">-->`,
  `<!-- --!><img src=x onerror="${X}"> -->`,
  `<![CDATA[><img src=x onerror="${X}">]]>`,
  `<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='${X}'/>">`,
  `<p style="background:url(javascript:${X})">a</p><p style="behavior:url(#x);-moz-binding:url(x)">a</p>`,
  `<scr<script>ipt>${X}</scr</script>ipt>`,
  `<img src=x one<x>rror="${X}" onerror&#61;x OnErRoR="${X}">`,
  // What would tell a stranger that the message is read.
  `<img src="${E}/1"><img srcset="${E}/2 1x"><picture><source srcset="${E}/3"><img></picture>`,
  `<link rel=stylesheet href="${E}/4"><style>@import "${E}/5";body{background:url(${E}/6)}</style>`,
  `<div style="background-image:url(${E}/7);list-style:url(${E}/8);content:url(${E}/9)">a</div>`,
  `<video poster="${E}/10" src="${E}/11" autoplay></video><audio src="${E}/12" autoplay></audio>`,
  `<iframe src="${E}/13"></iframe><object data="${E}/14"></object><embed src="${E}/15">`,
  `<table background="${E}/16"><tr><td background="${E}/17">a</td></tr></table><body background="${E}/18">`,
  `<svg><image href="${E}/19"/><use href="${E}/20#a"/></svg><input type=image src="${E}/21">`,
  `<link rel=prefetch href="${E}/22"><link rel=dns-prefetch href="${E}"><link rel=preconnect href="${E}"><link rel=icon href="${E}/23">`,
  `<meta http-equiv=refresh content="0;url=${E}/24">`,
];
/// So many payloads share a mail.
const GROUP = 12;
const word = (text) => `=?utf-8?B?${Buffer.from(text).toString("base64")}?=`;

/// A page that counts what its frames say.
async function opened(context, open) {
  const page = await context.newPage();
  let runs = 0;
  page.on("console", (message) => (runs += message.text() === "script ran"));
  page.on("dialog", (dialog) => ((runs += 1), dialog.dismiss()));
  const before = fetched;
  await open(page);
  await page.waitForTimeout(250);
  // Links are pressed as well. A frame that is on its way elsewhere may never answer.
  const press = () => document.querySelectorAll("a[href]").forEach((link) => link.removeAttribute("target") ?? link.click());
  await Promise.race([Promise.allSettled(page.frames().map((frame) => frame.evaluate(press))), page.waitForTimeout(400)]);
  await page.waitForTimeout(100);
  await page.close();
  return [runs, fetched - before];
}

const ran = { "as shown": [0, 0], "sandbox off": [0, 0], "sanitiser off": [0, 0], "both off": [0, 0] };
const count = (mode, [runs, requests]) => {
  ran[mode][0] += runs;
  ran[mode][1] += requests;
};
const stage = { page: [{}, ""], frames: [] };
const test = await serve((request) => stage.frames[Number.parseInt(request.url.slice(1), 10)] ?? (request.url === "/" ? stage.page : [{}, ""]));

try {
  for (let first = 0; first < bodies.length; first += GROUP) {
    const group = bodies.slice(first, first + GROUP);
    const [address, before] = [`a${first}@mail.example`, await mailboxes.count()];
    const name = `"><img src=x onerror="${X}">${first}`;
    await send(smtp, address, [
      `From: ${word(name)} <emma@clinic.example>`, `To: ${address}`, `Subject: ${word(`</title><script>${X}</script>${name}`)}`, "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "",
      "--b", "Content-Type: text/html; charset=utf-8", "", `<p>850709-9805</p>`, ...group.map((body) => `<div>${body}</div>`),
      "--b", `Content-Type: text/html; name="${word(name)}.html"`, `Content-Disposition: attachment; filename="${word(name)}.html"`, "", `<script>${X}</script>`, "--b--", "",
    ].join("\n"));
    const context = await browser.newContext();
    let [page, html] = [null, null];
    count("as shown", await opened(context, async (open) => {
      await enter(open, { link: await mailboxes.link(address, before), address, mailboxes });
      await open.waitForLoadState("load");
      const get = async (path) => {
        const answer = await context.request.get(new URL(path, open.url()).href);
        return [answer.headers(), await answer.text()];
      };
      [page, html] = [await get("/message"), await get("/message/body")];
      expect(html[1].includes("850709"), `no body came for ${first}`);
      await open.goto(new URL("/message/print", open.url()).href);
    }));
    // The mail itself, as a mail program shows it.
    const mail = await mailboxes.wait(address, (message) => message.link, before);
    count("as shown", await opened(context, (open) => open.goto(`${overview}/message/${mail.number}/html`)));
    // Each payload in frames of its own: with the page's frame and header, and with the header alone.
    const policy = { "content-type": "text/html; charset=utf-8", "content-security-policy": html[0]["content-security-policy"] };
    const framed = page[1].match(/<iframe[^>]*>/)[0];
    stage.frames = group.map((body) => [policy, `<!doctype html><html><body><main>${body}</main></body></html>`]);
    const frames = group.flatMap((_, number) => [framed.replace(/src="[^"]*"/, `src="/${number}"`), `<iframe src="/${number}">`]);
    stage.page = [{ "content-type": "text/html", "content-security-policy": page[0]["content-security-policy"] }, frames.map((frame) => `${frame}</iframe>`).join("")];
    count("sanitiser off", await opened(context, (open) => open.goto(test.address)));
    stage.page = [{ "content-type": "text/html; charset=utf-8" }, html[1]];
    count("sandbox off", await opened(context, (open) => open.goto(test.address)));
    stage.frames = group.map((body) => [{ "content-type": "text/html; charset=utf-8" }, body]);
    stage.page = [{ "content-type": "text/html" }, group.map((_, number) => `<iframe src="/${number}"></iframe>`).join("")];
    count("both off", await opened(context, (open) => open.goto(test.address)));
    await context.close();
  }
  for (const mode of ["as shown", "sandbox off", "sanitiser off"]) {
    expect(ran[mode][0] === 0, `${mode}: ${ran[mode][0]} scripts ran`);
    expect(ran[mode][1] === 0, `${mode}: ${ran[mode][1]} foreign requests`);
  }
  expect(ran["both off"][0] > 20 && ran["both off"][1] > 10, `the payloads do nothing where nothing stops them: ${ran["both off"]}`);
} catch (error) {
  findings.add(error.stack);
} finally {
  await browser.close();
  elsewhere.close();
  test.close();
}
report(`the attack: ${bodies.length} payloads; ${Object.entries(ran).map(([mode, [runs, requests]]) => `${mode}: ${runs} script runs, ${requests} foreign requests`).join("; ")}`);
