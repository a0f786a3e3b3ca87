// Checks examples/embed/socketio; started by conformance/socketio with the folder of the programs.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { FREE, Program, check, require, root, run, until } from "./lib/chromium.mjs";
import { protocol } from "./lib/socketio_protocol.mjs";
import { MARKUP, all, enter, lists, looks, nothingInjected, sameMoments, seen, shows, state, tab, tabs, texts, useBrowser } from "./lib/tabs.mjs";
import "./lib/socketio_scenarios.js";

const [bin, ...wanted] = process.argv.slice(2);
const modules = path.join(root, "conformance/node_modules");
const load = createRequire(import.meta.url);
const VERSIONS = ["socket.io-client", "socket.io-client-4.2"];
const TRANSPORTS = [undefined, ["websocket"], ["polling"]];
const version = (name) => JSON.parse(readFileSync(path.join(modules, name, "package.json"))).version;
const script = (name) => path.join(modules, name, "dist/socket.io.js");

class Server extends Program {
  static start(program, ...args) {
    return new Server(path.join(bin, program), args).listens();
  }

  async listens() {
    [, this.address] = await this.says(/^listening on http:\/\/(127\.0\.0\.1:\d+)$/m, "output", 20);
    this.url = `http://${this.address}/`;
    return this;
  }

  again() {
    this.args[this.args.indexOf(FREE)] = this.address;
    this.spawn();
    return this.listens();
  }

  // In MiB.
  memory() {
    return Number(readFileSync(`/proc/${this.child.pid}/status`, "utf8").match(/^VmRSS:\s+(\d+)/m)[1]) / 1024;
  }
}

// A client in Node: one version and one list of transports.
class NodeClient {
  constructor(name, url, transports) {
    const { io } = load(name);
    this.name = `Node, ${version(name)}`;
    this.transports = transports;
    this.sockets = [];
    this.connect = (options = {}, namespace = "/") => {
      const socket = io(url + namespace.slice(1), { forceNew: true, ...(transports && { transports }), ...options });
      this.sockets.push(socket);
      return socket;
    };
  }

  async scenario(name) {
    try {
      await globalThis.scenarios[name](this.connect, this.transports, `${this.name} ${this.transports}`);
    } finally {
      for (const socket of this.sockets.splice(0)) socket.disconnect();
    }
  }

  async keep() {
    await globalThis.kept.open(this.connect);
    this.kept = globalThis.keptSocket;
  }

  log() { return this.kept.log; }

  end() { for (const socket of this.sockets.splice(0)) socket.disconnect(); }
}

// The same in a page.
class PageClient {
  static async open(name, url, transports) {
    const client = Object.assign(new PageClient(), { name: `Chromium, ${version(name)}`, transports });
    client.page = await tab(`${url}socket.io/socket.io.js`); // any page there
    for (const path of [script(name), new URL("lib/socketio_scenarios.js", import.meta.url).pathname]) await client.page.addScriptTag({ path });
    await client.page.evaluate((transports) => {
      window.opened = [];
      window.connect = (options = {}, namespace = "/") => {
        const socket = io(namespace, { forceNew: true, ...(transports && { transports }), ...options });
        window.opened.push(socket);
        return socket;
      };
    }, transports);
    return client;
  }

  scenario(name) {
    return this.page.evaluate(async ([name, transports, tag]) => {
      try {
        await scenarios[name](connect, transports ?? undefined, tag);
      } finally {
        for (const socket of opened.splice(0)) socket.disconnect();
      }
    }, [name, this.transports, `${this.name} ${this.transports}`]);
  }

  keep() { return this.page.evaluate(() => kept.open(connect)); }

  log() { return this.page.evaluate(() => keptSocket.log); }

  end() { return this.page.close(); }
}

async function clients() {
  const server = await Server.start("socketio-checks", FREE);
  const clients = [];
  for (const name of VERSIONS) {
    for (const transports of TRANSPORTS) {
      clients.push(new NodeClient(name, server.url, transports), await PageClient.open(name, server.url, transports));
    }
  }
  clients.sort((a, b) => b.name.localeCompare(a.name));
  for (const client of clients) {
    for (const name of Object.keys(globalThis.scenarios)) {
      await check(`${client.name}, ${client.transports ?? "default"}: ${name}`, () => client.scenario(name));
    }
  }
  const each = (name, run) => Promise.all(clients.map((client) => check(`${client.name}, ${client.transports ?? "default"}: ${name}`, () => run(client))));
  // Their logs have come to this.
  const comesTo = (pattern) => async (client) => {
    let log;
    await until(`log ${pattern}`, async () => pattern.test(log = (await client.log()).join(" ")), 20).catch((error) => { throw new Error(`${error.message}: ${log}`); });
    return log;
  };
  await each("stays connected", async (client) => { await client.keep(); await comesTo(/^connect$/)(client); });
  await server.signal("SIGKILL");
  await each("notices that the server has ended", comesTo(/^connect transport (close|error)$/));
  await server.again();
  await each("comes back when it has restarted", comesTo(/^connect transport (close|error) connect$/));
  server.child.kill("SIGSTOP");
  await each("notices that the server is gone without a word", comesTo(/ connect ping timeout$/));
  await server.signal("SIGKILL");
  await server.again();
  await each("comes back again", comesTo(/ connect ping timeout connect$/));
  for (const client of clients) await client.end();
  await server.signal("SIGKILL");
}

// A client that is gone without a word: the server hears no Pong, and tells the others.
async function origins() {
  const server = await Server.start("embed-socketio", "im", FREE, "--client", script("socket.io-client"));
  await check("origins: a page from elsewhere is refused by both transports, with 403", async () => {
    const headers = { Origin: "http://example.com" };
    const response = await fetch(`${server.url}socket.io/?EIO=4&transport=polling`, { headers });
    require(response.status === 403 && !response.headers.has("access-control-allow-origin"), `status ${response.status}`);
    require((await response.json()).code === 4, "another code");
    const preflight = await fetch(`${server.url}socket.io/?EIO=4&transport=polling`, { method: "OPTIONS", headers });
    require(preflight.status === 403, `status ${preflight.status}`);
    const { default: WebSocket } = await import("ws");
    const ws = new WebSocket(`ws://${server.address}/socket.io/?EIO=4&transport=websocket`, { headers });
    const message = await new Promise((resolve) => ws.once("error", (error) => resolve(error.message)));
    require(/403/.test(message), message);
  });
  await server.signal("SIGKILL");
}

// What every page of a program owes.
async function everyPage(name, server, pages, works) {
  await check(`${name}: has upgraded to a WebSocket in all tabs`, async () => { await all(pages, (page) => until("upgrade", () => page.heard.length > 0)); });
  await check(`${name}: looks right on a phone in the dark, and beside it`, () => looks(`socketio-${name}`, pages));
  await check(`${name}: comes back after the server is killed and restarted`, async () => {
    await server.signal("SIGKILL");
    await all(pages, (page) => state(page, "closed"));
    require((await all(pages, (page) => page.$$eval("button", (found) => found.every(({ disabled }) => disabled)))).every(Boolean), "a button is enabled");
    await server.again();
    await all(pages, (page) => state(page, "open"));
    await works();
  });
  await check(`${name}: nothing was sent too early, no script has failed`, async () => {
    for (const page of pages) {
      require((await seen(page)).sent.every(({ open }) => open), "sent too early");
      const errors = page.errors.filter((error) => !/WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|400/.test(error));
      require(errors.length === 0, errors.join("; "));
    }
  });
  await all(pages, (page) => page.close());
  await server.signal("SIGKILL");
}

const program = (...args) => Server.start("embed-socketio", ...args, FREE, "--client", script("socket.io-client"));

// A probe is no event.
const hasUpgraded = (page) => until("event by WebSocket", () => page.heard.some((packet) => packet.startsWith("42")));

// Until all tabs have a WebSocket: events that came together by long-polling are shown as one. What they have
// shown until then is forgotten.
async function upgraded(pages) {
  await all(pages, hasUpgraded);
  await all(pages, (page) => page.evaluate(() => { window.seen.values.splice(0, Infinity, { text: "" }); }));
}

async function clock() {
  const server = await program("clock", "--sockets", "127.0.0.1:0");
  const [, sockets] = await server.says(/^sockets on (.*)$/m);
  server.args[server.args.indexOf("127.0.0.1:0")] = sockets.slice("http://".length);
  const pages = await tabs(server.url, 2);
  await check("clock: both tabs show the same time at the same moment, every 5 seconds, by sockets of another port", async () => {
    require(new URL(server.url).port !== new URL(sockets).port, "it is the same port");
    const { pairs, apart } = await sameMoments(...pages, 2);
    require(apart < 400, `${apart} ms apart`);
    const gap = pairs[1][0].time - pairs[0][0].time;
    require(Math.abs(gap - 5000) < 400, `${gap} ms between two ticks`);
    const off = Number(await pages[0].$eval("#time", (time) => time.dataset.tick)) - Date.now();
    require(Math.abs(off) < 6000, `${off} ms off`);
    return `${gap} ms between two, at most ${apart} ms apart`;
  });
  await everyPage("clock", server, pages, () => all(pages, async (page) => {
    const before = (await seen(page)).values.length;
    await until("tick", async () => (await seen(page)).values.length > before);
  }));
}

async function ticker() {
  const fast = await program("ticker", "--every", "50");
  const both = await tabs(fast.url, 2);
  await check("ticker --every 50: at least 15 prices a second, the same ones in both tabs", async () => {
    await upgraded(both);
    const { pairs, apart } = await sameMoments(...both, 40);
    const rates = [0, 1].map((tab) => (pairs.length - 1) * 1000 / (pairs.at(-1)[tab].time - pairs[0][tab].time));
    require(Math.min(...rates) >= 15 && apart < 400, `${rates} a second, ${apart} ms apart`);
    return `${rates.map((rate) => rate.toFixed(1)).join(" and ")} a second, at most ${apart} ms apart`;
  });
  await fast.signal("SIGKILL");
  await all(both, (page) => page.close());
  const server = await program("ticker");
  const pages = await tabs(server.url, 2);
  await check("ticker: each second, a number from 0 to 999, the same in both tabs at the same moment", async () => {
    const { pairs, apart } = await sameMoments(...pages, 3);
    const gaps = pairs.slice(1).map(([{ time }], i) => time - pairs[i][0].time);
    require(apart < 400 && gaps.every((gap) => Math.abs(gap - 1000) < 400), `${gaps} ms between them, ${apart} apart`);
    require(pairs.every(([{ text }]) => /^(0|[1-9]\d{0,2})$/.test(text)), JSON.stringify(pairs));
    return `at most ${apart} ms apart`;
  });
  await everyPage("ticker", server, pages, () => all(pages, async (page) => {
    const before = (await seen(page)).values.length;
    await until("price", async () => (await seen(page)).values.length > before);
  }));
}

async function chat() {
  const server = await program("chat");
  const pages = await tabs(server.url, 2);
  const [ann, bob] = pages;
  await check("chat: the server says `Made socket connection` with an id for each tab", async () => {
    const ids = await until("two lines", () => {
      const found = [...server.output.matchAll(/^Made socket connection ([\w-]{20})$/gm)].map(([, id]) => id);
      return found.length === 2 && found;
    });
    require(ids[0] !== ids[1], `the ids are ${ids}`);
  });
  await check("chat: the other tab sees who is typing; a message goes to both, and clears it", async () => {
    await ann.fill("#handle", "Ann");
    await ann.fill("#message", "tea?");
    await shows(bob, "#feedback", "Ann is typing a message…");
    await shows(ann, "#feedback", "");
    await ann.press("#message", "Enter");
    for (const page of pages) await lists(page, "#output li", "Ann: tea?");
    await shows(bob, "#feedback", "");
  });
  await check("chat: markup in a name and in a message is text", async () => {
    await bob.fill("#handle", MARKUP);
    await enter(bob, "#message", MARKUP);
    for (const page of pages) {
      await lists(page, "#output li", "Ann: tea?", `${MARKUP}: ${MARKUP}`);
      await nothingInjected(page);
    }
    await bob.fill("#message", "h");
    await shows(ann, "#feedback", `${MARKUP} is typing a message…`);
    await nothingInjected(ann);
  });
  await everyPage("chat", server, pages, async () => {
    await enter(bob, "#message", "again");
    for (const page of pages) await until("message", async () => (await texts(page, "#output li")).at(-1) === `${MARKUP}: again`);
  });
}

async function im() {
  const server = await program("im");
  const pages = await tabs(server.url, 2);
  const [ann, bob] = pages;
  await check("im: a message goes to the other tab, not to the sender; markup is text", async () => {
    await enter(ann, "#message", "hello");
    await lists(bob, "#messages li.theirs", "hello");
    await enter(bob, "#message", MARKUP);
    await lists(ann, "#messages li", "hello", MARKUP);
    await lists(ann, "#messages li.theirs", MARKUP);
    await lists(bob, "#messages li", "hello", MARKUP);
    await lists(bob, "#messages li.theirs", "hello");
    for (const page of pages) await nothingInjected(page);
  });
  await everyPage("im", server, pages, async () => {
    await enter(ann, "#message", "again");
    await lists(bob, "#messages li.theirs", "hello", "again");
    await lists(ann, "#messages li.theirs", MARKUP);
  });
}

async function bare() {
  const server = await Server.start("embed-socketio", "--conformance", FREE);
  await protocol(server);
  await server.signal("SIGKILL");
}

const parts = { protocol: [bare, origins], clients: [clients], apps: [clock, ticker, chat, im] };
for (const name of wanted.filter((name) => !parts[name])) {
  console.error(`unknown: ${name} (${Object.keys(parts).join(", ")})`);
  process.exit(2);
}
process.chdir(path.join(root, "conformance")); // where the servers find the client script
await run(async (browser) => {
  await useBrowser(browser);
  for (const name of wanted.length ? wanted : Object.keys(parts)) for (const part of parts[name]) await part();
});
