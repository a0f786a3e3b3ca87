// Drives Chromium or Firefox through the echo server's page; started by conformance/browser and conformance/firefox.
//
// The page has an input #message, the buttons #send, #close and #connect, and #state, which is connecting, open,
// closing or closed. The list #log has one <li> for each event, with the class open, sent, received, close
// or error. A close entry contains the code and `clean` or `unclean`.

import { mkdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { launch } from "puppeteer-core";
import { FREE, Server, check as checkNamed, example, out, require, run } from "./lib/chromium.mjs";
import { deflateChecks, installProbe } from "./lib/probe.mjs";

const { values: options } = parseArgs({ options: { "server-cmd": { type: "string" }, firefox: { type: "boolean" } } });
const check = (name, run) => checkNamed(`${options.firefox ? "firefox" : "browser"}: ${name}`, run);

// Playwright drives Chromium, and puppeteer Debian's Firefox. Their pages have the same functions, except for this one.
function waitFor(page, condition, argument) {
  const timeout = { timeout: 10000 };
  return options.firefox ? page.waitForFunction(condition, timeout, argument) : page.waitForFunction(condition, argument, timeout);
}

function startFirefox() {
  return launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, timeout: 60000 });
}

// The echo server on a free port.
function serve(...more) {
  const [command, ...args] = options["server-cmd"]?.split(/\s+/) ?? [example("echo_server")];
  return Server.start(command, ...args, FREE, ...more);
}

// The page

async function state(page, wanted) {
  await waitFor(page, (text) => document.querySelector("#state")?.textContent.trim() === text, wanted);
}

async function entries(page, kind) {
  return page.$$eval(`#log > li.${kind}`, (items) => items.map((item) => item.textContent));
}

async function entry(page, kind, count) {
  await reaches(page, kind, count);
  const found = await entries(page, kind);
  require(found.length === count, `${found.length} entries "${kind}" instead of ${count}`);
  return found.at(-1);
}

async function reaches(page, kind, count) {
  await waitFor(page, ([kind, count]) => document.querySelectorAll(`#log > li.${kind}`).length >= count, [kind, count]);
}

async function echo(page, text, count) {
  await page.locator("#message").fill(text);
  await page.click("#send");
  const [sent, received] = [await entry(page, "sent", count), await entry(page, "received", count)];
  require(sent.includes(text) && received.includes(text), `sent ${sent}, received ${received}`);
}

async function pageChecks(page, server) {
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await check("the server's page opens a connection to the server", async () => {
    const response = await page.goto(`http://${server.address}/`, { timeout: 15000 });
    require(response.status() === 200, `status ${response.status()}`);
    await state(page, "open");
    await entry(page, "open", 1);
    for (const id of ["message", "send", "close", "connect"]) require(await page.$eval(`#${id}`, (element) => element.checkVisibility()), `#${id} is not there`);
  });
  await check("a typed message is echoed", () => echo(page, "hello from the page", 1));
  await check("text with characters of every length is echoed", () => echo(page, "Grüße, 日本語, 😀 👩‍👩‍👧", 2));
  await check("markup is shown as text", async () => {
    await echo(page, `<img src="x" onerror="window.injected=1"><b id="injected">bold</b><script>window.injected=1</script>`, 3);
    require(await page.$("#injected, #log img, #log b, #log script") === null, "markup became elements");
    require(await page.evaluate(() => window.injected === undefined), "a script ran");
  });
  await check("a screenshot of the page", async () => {
    mkdirSync(out, { recursive: true });
    const file = options.firefox ? "echo-firefox.png" : "echo.png";
    await page.screenshot({ path: path.join(out, file), fullPage: true });
    return `conformance/out/${file}`;
  });
  await check("the close button closes with 1000, clean", async () => {
    await page.click("#close");
    await state(page, "closed");
    const text = await entry(page, "close", 1);
    require(/\b1000\b/.test(text) && /\bclean\b/.test(text), `the entry says ${text}`);
    return text;
  });
  await check("the connect button connects again", async () => {
    await page.click("#connect");
    await state(page, "open");
    await entry(page, "open", 2);
    await echo(page, "once more", 4);
  });
  await check("no error in the page or in its log", async () => {
    require(errors.length === 0, errors.join("; "));
    require((await entries(page, "error")).length === 0, "an error entry");
  });
}

// Sockets opened by scripts.

async function scriptChecks(browser, page, server) {
  const url = `ws://${server.address}/`;
  await page.evaluate(installProbe);
  const inPage = (name, run) => check(name, () => page.evaluate(run, url));

  await inPage("open, message and close arrive in this order, and the end is clean", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    if (probe.ws.protocol !== "") throw new Error(`subprotocol ${probe.ws.protocol}`);
    if (probe.ws.extensions !== "") throw new Error(`extensions ${probe.ws.extensions}`);
    if (await probe.echo("hello") !== "hello") throw new Error("another reply");
    await probe.close(1000, "goodbye");
  });
  await inPage("text of every plane, and an empty text", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    for (const text of ["", "\u0000", "é", "€", "😀", "\u{10ffff}", "\ufeff", "ñ".repeat(100000)]) {
      if (await probe.echo(text) !== text) throw new Error(`another reply to ${JSON.stringify(text.slice(0, 10))}`);
    }
    await probe.close(1000, "");
  });
  await inPage("binary messages from 0 bytes to 1 MiB", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
      const data = bytes(size);
      if (!same(await probe.echo(data), data)) throw new Error(`another reply to ${size} bytes`);
    }
    await probe.close(1000, "");
  });
  await inPage("a Blob of 1 MiB", async (url) => {
    const probe = new Probe(url);
    probe.ws.binaryType = "blob";
    await probe.expect("open");
    const reply = await probe.echo(new Blob([bytes(1 << 20)]));
    if (!(reply instanceof Blob) || !same(await reply.arrayBuffer(), bytes(1 << 20))) throw new Error("another reply");
    await probe.close(1000, "");
  });
  await inPage("a message of 16 MiB", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    const data = bytes(1 << 24);
    if (!same(await probe.echo(data), data)) throw new Error("another reply");
    await probe.close(1000, "");
  });
  await inPage("a message of 16 MiB + 1 ends with 1009", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    probe.ws.send(new Uint8Array((1 << 24) + 1));
    let event = await probe.next();
    if (event.type === "error") event = await probe.next();
    if (event.type !== "close" || event.code !== 1009) throw new Error(JSON.stringify(event));
    return event.wasClean ? "clean" : "not clean";
  });
  await inPage("100 messages come back in order", async (url) => {
    const probe = new Probe(url);
    await probe.expect("open");
    for (let i = 0; i < 100; i++) probe.ws.send(`message ${i}`);
    for (let i = 0; i < 100; i++) {
      const { data } = await probe.expect("message");
      if (data !== `message ${i}`) throw new Error(`${data} instead of message ${i}`);
    }
    await probe.close(1000, "");
  });
  await inPage("two sockets at once do not mix", async (url) => {
    const [one, two] = [new Probe(url), new Probe(url)];
    await Promise.all([one.expect("open"), two.expect("open")]);
    for (let i = 0; i < 20; i++) {
      const replies = await Promise.all([one.echo(`one ${i}`), two.echo(`two ${i}`)]);
      if (replies.join() !== `one ${i},two ${i}`) throw new Error(replies.join());
    }
    await one.close(1000, "");
    if (await two.echo("still open") !== "still open") throw new Error("the second socket lost its reply");
    await two.close(1000, "");
  });
  await inPage("close codes 3000 and 4999 come back, clean", async (url) => {
    for (const [code, reason] of [[3000, ""], [4999, "ünïcödé"]]) {
      const probe = new Probe(url);
      await probe.expect("open");
      await probe.close(code, reason);
    }
  });
  await check("a subprotocol is chosen when the server has it", async () => {
    const other = await serve("--protocol", "chat");
    const view = await browser.newPage();
    await view.goto(`http://${other.address}/`, { timeout: 15000 });
    await view.evaluate(installProbe);
    await view.evaluate(async (url) => {
      const probe = new Probe(url, ["superchat", "chat"]);
      await probe.expect("open");
      if (probe.ws.protocol !== "chat") throw new Error(`subprotocol "${probe.ws.protocol}"`);
      await probe.close(1000, "");
    }, `ws://${other.address}/`);
    await view.close();
  });
}

await run(async (browser) => {
  const server = await serve();
  const page = await browser.newPage();
  page.setDefaultTimeout(10000);
  await pageChecks(page, server);
  await scriptChecks(browser, page, server);
  await deflateChecks(check, await browser.newPage(), serve, { limits: !options.firefox });
  // Firefox slows down a page that nobody sees.
  await page.bringToFront();
  await check("the page shows a connection that ends without Close as unclean", async () => {
    require(server.status === undefined, "the server has ended by itself");
    await state(page, "open");
    await server.signal("SIGKILL");
    await state(page, "closed");
    // More follow: it tries to come back.
    await reaches(page, "close", 2);
    const text = (await entries(page, "close"))[1];
    require(/\b1006\b/.test(text) && /\bunclean\b/.test(text), `the entry says ${text}`);
    return text;
  });
  await check("the page comes back when the server does", async () => {
    await server.again();
    await state(page, "open");
    await echo(page, "back again", 5);
  });
  await check("the page shows the code and the reason of a close by the server", async () => {
    const before = (await entries(page, "close")).length;
    await server.signal("SIGINT");
    await reaches(page, "close", before + 1);
    const text = (await entries(page, "close"))[before];
    require(/\b1001, clean\b/.test(text), `the entry says ${text}`);
    return text;
  });
}, options.firefox ? startFirefox : undefined);
