// Tabs in Chromium, and what every application's page owes: its state, patience, a way back, a phone, the dark.

import { mkdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { check, out, require, until } from "./chromium.mjs";

// Markup that would set `hacked`, short enough for a name.
export const MARKUP = "<img src=x onerror=hacked=1>";
export const LONG = "A-long-word-without-any-space-in-it-".repeat(6);
// What Chromium itself writes to the console while a server is away.
const AWAY = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET/;

// Runs in each page before its scripts: what the connection does and what the page shows, as it happens.
function watch() {
  const seen = (window.seen = { states: [], values: [], sent: [], closes: [] });
  window.WebSocket = class extends WebSocket {
    constructor(url) {
      // The tests send a page to another server by its fragment, of which the page knows nothing.
      super(new URLSearchParams(location.hash.slice(1)).get("server") ?? url);
      this.addEventListener("close", ({ code, wasClean }) => seen.closes.push({ code, wasClean }));
    }
    send(data) {
      seen.sent.push({ data, open: this.readyState === WebSocket.OPEN });
      super.send(data);
    }
  };
  const record = (list, text, entry) => { if (text && list.at(-1)?.text !== text) list.push(entry); };
  new MutationObserver(() => {
    const [state, value] = ["#state", ".large"].map((selector) => document.querySelector(selector)?.textContent);
    record(seen.states, state, { text: state });
    record(seen.values, value, { text: value, time: Date.now() });
  }).observe(document, { childList: true, characterData: true, subtree: true });
}

let contexts;

export async function useBrowser(browser) {
  contexts = {
    desktop: await browser.newContext({ viewport: { width: 1000, height: 700 }, colorScheme: "light" }),
    phone: await browser.newContext({
      viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true, deviceScaleFactor: 2,
    }),
  };
  for (const context of Object.values(contexts)) await context.addInitScript(watch);
}

// A tab with `errors` of its scripts and console, and the texts that its WebSockets have `heard`.
export async function tab(url, device = "desktop") {
  const page = await contexts[device].newPage();
  page.setDefaultTimeout(10000);
  page.errors = [];
  page.heard = [];
  page.on("pageerror", (error) => page.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
  page.on("websocket", (ws) => ws.on("framereceived", ({ payload }) => page.heard.push(String(payload))));
  const response = await page.goto(url);
  require(response.status() === 200, `status ${response.status()} for ${url}`);
  return page;
}

// So many tabs, all connected; the last one is a phone in dark mode.
export async function tabs(url, count) {
  const pages = [];
  for (let i = 1; i <= count; i++) pages.push(await tab(url, i === count ? "phone" : "desktop"));
  await all(pages, (page) => state(page, "open"));
  return pages;
}

export const all = (pages, run) => Promise.all(pages.map(run));

export const seen = (page) => page.evaluate(() => window.seen);

// The texts of all elements that a selector finds, on one line each.
export const texts = (page, selector) => page.$$eval(selector, (found) => found.map((element) => element.innerText.replace(/\s+/g, " ").trim()));

export const state = (page, wanted) => shows(page, "#state", wanted);

// Waits until the first element that a selector finds has this text, or one that matches.
export async function shows(page, selector, wanted) {
  let text;
  const fits = async () => {
    [text] = await texts(page, selector);
    return wanted instanceof RegExp ? wanted.test(text ?? "") : text === wanted;
  };
  await until(`${selector} with ${wanted}`, fits).catch((error) => { throw new Error(`${error.message}: it is ${text}`); });
}

// Waits until a selector finds exactly these texts.
export async function lists(page, selector, ...wanted) {
  let found;
  const fits = async () => JSON.stringify(found = await texts(page, selector)) === JSON.stringify(wanted);
  await until(`${selector} with ${JSON.stringify(wanted)}`, fits).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(found)}`);
  });
}

// Types into a field and sends the form that it is in.
export async function enter(page, selector, text) {
  await page.fill(selector, text);
  await page.press(selector, "Enter");
}

// That markup of a peer has stayed text.
export async function nothingInjected(page) {
  require(await page.$("img") === null, "markup has become an element");
  require(await page.evaluate(() => window.hacked === undefined), "a script of a peer has run");
}

// What two tabs have shown, of which one may have begun later: the same texts in the same order, and
// the longest time in ms between the two of one text.
export async function sameMoments(early, late, count) {
  const values = async (page) => (await seen(page)).values.slice(1);
  await until(`${count} values in both tabs`, async () => (await values(late)).length > count, 20);
  const [others, own] = [await values(early), (await values(late)).slice(0, -1)].toSorted((a, b) => b.length - a.length);
  for (let from = 0; from + count <= others.length; from++) {
    const pairs = own.flatMap((value, i) => (others[from + i] ? [[value, others[from + i]]] : []));
    if (pairs.length >= count && pairs.every(([a, b]) => a.text === b.text)) {
      return { pairs, apart: Math.max(...pairs.map(([a, b]) => Math.abs(a.time - b.time))) };
    }
  }
  throw new Error(`the tabs differ: ${JSON.stringify([others, own].map((list) => list.slice(-6).map(({ text }) => text)))}`);
}

// What every page owes, checked in tabs that are open and have something to show; `works` is that they
// work again after the server was away.
export async function everyPage(name, server, pages, works) {
  await check(`${name}: waits for open before it sends`, () => patience(server.url));
  await check(`${name}: looks right on a phone in the dark, and beside it`, () => looks(name, pages));
  await check(`${name}: no error in any page`, async () => {
    const errors = pages.flatMap((page) => page.errors);
    require(errors.length === 0, errors.join("; "));
  });
  await check(`${name}: comes back after the server is killed and restarted`, async () => {
    await server.signal("SIGKILL");
    // Until each has tried to come back, in vain.
    await all(pages, (page) => until("second attempt", async () => (await history(page)).endsWith("open closed connecting closed")));
    await all(pages, controlsAreDisabled);
    await server.again();
    const start = Date.now();
    await all(pages, (page) => state(page, "open"));
    const took = Date.now() - start;
    for (const page of pages) {
      const states = await history(page);
      require(/^connecting open( closed connecting){2,} open$/.test(states), `the state was ${states}`);
    }
    await works();
    return `${took} ms after the restart`;
  });
  await check(`${name}: Ctrl-C closes every page with 1001, clean, and ends the server with status 0`, () => closesAll(server, pages));
  await check(`${name}: nothing was sent but on an open connection, no script has failed`, async () => {
    for (const page of pages) {
      const { sent } = await seen(page);
      require(sent.every(({ open }) => open), `sent too early: ${JSON.stringify(sent)}`);
      const errors = page.errors.filter((error) => !AWAY.test(error));
      require(errors.length === 0, errors.join("; "));
    }
  });
  await all(pages, (page) => page.close());
}

// The states of the connection that a page has shown, in their order.
const history = async (page) => (await seen(page)).states.map(({ text }) => text).join(" ");

// The pages try to come back at once, in vain, so what counts is how the open connection of each was closed.
export async function closesAll(server, pages) {
  const before = await all(pages, async (page) => (await seen(page)).closes.length);
  const start = Date.now();
  const status = await server.signal("SIGINT");
  require(status === 0, `status ${status}`);
  const took = Date.now() - start;
  require(took < 5000, `it took ${took} ms`);
  for (const [i, page] of pages.entries()) {
    await until("close event", async () => (await seen(page)).closes.length > before[i]);
    const { code, wasClean } = (await seen(page)).closes[before[i]];
    require(code === 1001 && wasClean, `code ${code}, wasClean ${wasClean}`);
  }
  return `${took} ms`;
}

async function controlsAreDisabled(page) {
  const enabled = await page.$$eval("[data-needs-open], form button.main", (found) => found.filter((control) => !control.disabled).length);
  require(enabled === 0, `${enabled} controls that need a connection are not disabled`);
}

// A server that never answers the handshake: whatever the user tries, nothing is sent.
async function patience(url) {
  const sockets = new Set();
  const silent = net.createServer((socket) => sockets.add(socket.on("error", () => {}))).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  try {
    const page = await tab(`${url}#server=ws://127.0.0.1:${silent.address().port}/ws`);
    await until("connection to the silent server", () => sockets.size > 0);
    await state(page, "connecting");
    await controlsAreDisabled(page);
    for (const input of await page.$$("input")) await input.fill("too early");
    await page.evaluate(() => {
      document.querySelectorAll("button").forEach((button) => button.click());
      document.querySelectorAll("form").forEach((form) => form.requestSubmit());
    });
    const { sent } = await seen(page);
    require(sent.length === 0, `it has tried to send ${JSON.stringify(sent)}`);
    require(page.errors.length === 0, page.errors.join("; "));
    await state(page, "connecting");
    await page.close();
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
}

// The last of the tabs is the phone.
export async function looks(name, pages) {
  const [desktop, phone] = [pages[0], pages.at(-1)];
  const folder = path.join(out, "apps");
  mkdirSync(folder, { recursive: true });
  const light = await desktop.screenshot({ path: path.join(folder, `${name}.png`) });
  const dark = await phone.screenshot({ path: path.join(folder, `${name}-dark-phone.png`) });
  const [bright, dim] = [await corner(desktop, light), await corner(phone, dark)];
  require(bright > 200, `the light page's background is ${bright} of 255`);
  require(dim < 64, `the dark page's background is ${dim} of 255`);
  await noSidewaysScroll(phone);
  return `background ${bright} and ${dim} of 255`;
}

async function noSidewaysScroll(phone) {
  const width = await phone.evaluate(() => document.scrollingElement.scrollWidth);
  require(width <= 390, `the page is ${width} pixels wide, the phone 390`);
}

// How bright the pixel in a screenshot's corner is.
function corner(page, png) {
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return Math.round((red + green + blue) / 3);
  }, png.toString("base64"));
}
