// Tests echo servers that print `listening on ws://ADDR`, with npm `ws` and bare sockets.
//
//   node embed.mjs NAME=PROGRAM...        each takes ADDR and HANDSHAKE_MS
//   node embed.mjs --server-cmd CMD
//
// Prints one line per check with its result and duration, and then the totals. The exit status is 1 if one fails.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { MIB, inbox, next, payload, pieces, require, sameMessage } from "./peers/shared.mjs";

const SECONDS = 40;
const HANDSHAKE_MS = 700;
const totals = { ok: 0, FAIL: 0, "not run": 0 };
const children = new Set();

class NotRun extends Error {}

// A child in its own process group, so that the children of a shell end with it.
class Server {
  constructor(command, args, shell) {
    this.child = spawn(command, args, { shell, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    children.add(this.child);
    this.output = this.errors = "";
    this.child.stdout.on("data", (data) => (this.output += data));
    this.child.stderr.on("data", (data) => (this.errors = (this.errors + data).slice(-100000)));
    this.ended = new Promise((resolve) => {
      this.child.once("error", (error) => { this.errors += error.message; resolve(-1); });
      this.child.once("close", (status, signal) => { this.status = status ?? signal; resolve(this.status); });
    });
  }

  async listening() {
    for (let waited = 0; waited < 20000 && this.status === undefined; waited += 20) {
      const line = this.output.match(/^listening on ws:\/\/(.+):(\d+)\/?$/m);
      if (line) {
        this.host = line[1];
        this.port = Number(line[2]);
        this.url = `ws://${line[1]}:${line[2]}/`;
        return this;
      }
      await sleep(20);
    }
    throw new Error(`no line \`listening on ws://ADDR\`: ${this.output}${this.errors}`.trim().slice(0, 300));
  }

  stop() {
    children.delete(this.child);
    try { process.kill(-this.child.pid, "SIGKILL"); } catch {}
    return this.ended;
  }

  // Behind a shell it is that of the shell's child.
  pid() {
    for (let pid = this.child.pid; ; ) {
      const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0];
      if (!child) return pid;
      pid = child;
    }
  }

  // Resident memory in MiB.
  memory() {
    return Number(readFileSync(`/proc/${this.pid()}/status`, "utf8").match(/^VmRSS:\s+(\d+)/m)[1]) / 1024;
  }

  sockets() {
    const folder = `/proc/${this.pid()}/fd`;
    const isSocket = (fd) => { try { return readlinkSync(`${folder}/${fd}`).startsWith("socket:"); } catch { return false; } };
    return readdirSync(folder).filter(isSocket).length;
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));
process.on("exit", () => {
  for (const child of children) try { process.kill(-child.pid, "SIGKILL"); } catch {}
});

// What a check has opened is closed behind it.
let opened = [];

async function check(name, run) {
  const start = performance.now();
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${SECONDS} s`)), SECONDS * 1000);
  });
  let outcome = "ok";
  let detail;
  try {
    detail = await Promise.race([run(), deadline]);
  } catch (error) {
    outcome = error instanceof NotRun ? "not run" : "FAIL";
    detail = error.message;
  }
  clearTimeout(timer);
  for (const connection of opened) connection.terminate?.() ?? connection.destroy?.();
  opened = [];
  totals[outcome]++;
  const seconds = ((performance.now() - start) / 1000).toFixed(3).padStart(8);
  console.log(`${outcome.padEnd(7)} ${seconds} s  ${name}${detail ? `: ${String(detail).slice(0, 300)}` : ""}`);
}

async function connect(server, protocols = [], options = {}) {
  const ws = new WebSocket(server.url, protocols, { perMessageDeflate: false, handshakeTimeout: 10000, ...options });
  ws.on("error", () => {});
  opened.push(ws);
  ws.read = inbox(ws);
  await next(ws, "open");
  return ws;
}

async function echo(ws, kind, data) {
  ws.send(data, { binary: kind === "binary" });
  sameMessage(await ws.read(), kind, data);
}

async function closed(ws, code, ...reason) {
  const end = next(ws, "close");
  ws.close(code, ...reason);
  const [got, why] = await end;
  require(got === (code ?? 1005), `close code ${got} instead of ${code ?? 1005}`);
  require(["", ...reason].includes(why.toString()), `close reason ${why}`);
}

// A bare socket that keeps all it has received; its side stays open when the server's ends.
class Raw {
  static async connect(server) {
    const raw = new Raw();
    raw.socket = net.connect({ host: server.host, port: server.port, allowHalfOpen: true });
    raw.socket.setNoDelay(true);
    opened.push(raw.socket);
    raw.received = Buffer.alloc(0);
    raw.waiting = [];
    const settle = () => { for (const wake of raw.waiting.splice(0)) wake(); };
    raw.socket.on("data", (data) => { raw.received = Buffer.concat([raw.received, data]); settle(); });
    raw.socket.on("end", () => { raw.ended = true; settle(); });
    raw.socket.on("error", (error) => { raw.error = error.message; settle(); });
    await new Promise((resolve, reject) => raw.socket.once("connect", resolve).once("error", reject));
    return raw;
  }

  write(data) {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  async until(done) {
    while (!done()) {
      require(!this.error, this.error);
      await new Promise((wake) => this.waiting.push(wake));
    }
  }

  // The head of the next answer, without its empty line.
  async head() {
    await this.until(() => this.ended || this.received.includes("\r\n\r\n"));
    const end = this.received.indexOf("\r\n\r\n");
    require(end >= 0, `the stream ended after ${JSON.stringify(this.received.toString())}`);
    const head = this.received.subarray(0, end).toString();
    this.received = this.received.subarray(end + 4);
    return head;
  }

  // The next unmasked frame.
  async frame() {
    const need = async (count) => {
      await this.until(() => this.ended || this.received.length >= count);
      require(this.received.length >= count, `the stream ended inside or before a frame: ${this.received.toString("hex").slice(0, 80)}`);
    };
    await need(2);
    const short = this.received[1];
    require(short < 128, "a masked frame from a server");
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    await need(2 + extra);
    const length = extra === 0 ? short : extra === 2 ? this.received.readUInt16BE(2) : Number(this.received.readBigUInt64BE(2));
    await need(2 + extra + length);
    const frame = { first: this.received[0], payload: this.received.subarray(2 + extra, 2 + extra + length) };
    this.received = this.received.subarray(2 + extra + length);
    return frame;
  }

  // The next message, in one frame or many.
  async message() {
    const { first, payload } = await this.frame();
    require((first & 0x7f) === 1 || (first & 0x7f) === 2, `no message, but a frame that begins with ${first.toString(16)}`);
    const parts = [payload];
    for (let last = first; last < 0x80; ) {
      const more = await this.frame();
      require((more.first & 0x7f) === 0, `no continuation, but a frame that begins with ${more.first.toString(16)}`);
      parts.push(more.payload);
      last = more.first;
    }
    return Buffer.concat(parts);
  }

  // Skips to the Close frame and gives its code.
  async closeCode() {
    for (;;) {
      const { first, payload } = await this.frame();
      if (first === 0x88) return payload.length ? payload.readUInt16BE(0) : 1005;
    }
  }
}

// A masked frame; `length` is what it declares, if not the truth.
function frame(first, data, length = data.length) {
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = first;
  if (length < 126) head[1] = 0x80 | length;
  else if (length < 65536) { head[1] = 0xfe; head.writeUInt16BE(length, 2); }
  else { head[1] = 0xff; head.writeBigUInt64BE(BigInt(length), 2); }
  const key = randomBytes(4);
  return Buffer.concat([head, key, data.map((byte, at) => byte ^ key[at % 4])]);
}

function request(server, ...changes) {
  const fields = {
    Host: `${server.host}:${server.port}`,
    Upgrade: "websocket",
    Connection: "keep-alive, Upgrade",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    "Sec-WebSocket-Version": "13",
    ...Object.assign({}, ...changes),
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`GET / HTTP/1.1\r\n${lines.join("")}\r\n`);
}

async function open(server) {
  const raw = await Raw.connect(server);
  await raw.write(request(server));
  const head = await raw.head();
  require(head.startsWith("HTTP/1.1 101 "), head);
  return raw;
}

async function answered(server, status, ...changes) {
  const raw = await Raw.connect(server);
  await raw.write(request(server, ...changes));
  const head = await raw.head();
  require(head.startsWith(`HTTP/1.1 ${status} `), `instead of ${status}: ${head.split("\r\n")[0]}`);
  return head;
}

async function messages(server, test) {
  for (const kind of ["ascii", "multibyte", "binary"]) {
    for (const size of [0, 1, 125, 126, 65535, 65536, MIB]) {
      await test(`${kind} message of ${size} bytes`, async () => {
        const ws = await connect(server);
        await echo(ws, kind, payload(kind, size));
        await closed(ws, 1000);
      });
    }
  }
  await test("a message in 7 fragments, cut inside characters, with a ping between them", async () => {
    const ws = await connect(server);
    const data = payload("multibyte", 1000);
    const pongs = [];
    ws.on("pong", (value) => pongs.push(value.toString()));
    pieces(data, 7).forEach((piece, i, all) => {
      ws.send(piece, { binary: false, fin: i === all.length - 1 });
      ws.ping(`ping ${i}`);
    });
    sameMessage(await ws.read(), "ascii", data);
    while (pongs.at(-1) !== "ping 6") await next(ws, "pong");
    await closed(ws, 1000);
  });
  await test("pings of 0, 1 and 125 bytes come back as they were", async () => {
    const ws = await connect(server);
    for (const size of [0, 1, 125]) {
      const pong = next(ws, "pong");
      ws.ping(payload("binary", size));
      require((await pong)[0].equals(payload("binary", size)), `another payload than that of ${size} bytes`);
    }
    await closed(ws, 1000);
  });
  await test("1000 small messages at once, answered in order", async () => {
    const ws = await connect(server);
    const all = Array.from({ length: 1000 }, (_, i) => Buffer.from(`message ${i}`));
    ws._socket.cork();
    for (const data of all) ws.send(data, { binary: false });
    ws._socket.uncork();
    for (const data of all) sameMessage(await ws.read(), "ascii", data);
    await closed(ws, 1000);
  });
  await test("50 connections at once", async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => connect(server)));
    await Promise.all(all.map((ws, i) => echo(ws, "ascii", Buffer.from(`connection ${i}`))));
    await Promise.all(all.map((ws) => closed(ws, 1000)));
  });
}

async function endings(server, test) {
  for (const [code, ...reason] of [[1000, "goodbye, ünïcödé"], [3000, "x".repeat(123)], [4999], []]) {
    await test(`Close ${code ?? "without a code"} is answered with the same`, async () => {
      await closed(await connect(server), code, ...reason);
    });
  }
  await test("messages just before Close are answered before it", async () => {
    const ws = await connect(server);
    for (let i = 0; i < 10; i++) ws.send(`message ${i}`);
    const end = closed(ws, 1000);
    for (let i = 0; i < 10; i++) sameMessage(await ws.read(), "ascii", Buffer.from(`message ${i}`));
    await end;
  });
  await test("the server ends its side within 1 s after Close, the client's being open", async () => {
    const raw = await open(server);
    const start = performance.now();
    await raw.write(frame(0x88, Buffer.from([0x0f, 0xa0])));
    require((await raw.closeCode()) === 4000, "another close code");
    await raw.until(() => raw.ended);
    const milliseconds = performance.now() - start;
    require(milliseconds < 1000, `${milliseconds.toFixed(0)} ms`);
    return `${milliseconds.toFixed(1)} ms`;
  });
  await test("a client that has ended its side still gets its answers, and Close", async () => {
    const raw = await Raw.connect(server);
    const data = payload("binary", 100000);
    raw.socket.end(Buffer.concat([request(server), frame(0x82, data), frame(0x88, Buffer.from([3, 0xe8]))]));
    require((await raw.head()).startsWith("HTTP/1.1 101 "), "no 101");
    require((await raw.message()).equals(data), "another message");
    require((await raw.closeCode()) === 1000, "another close code");
  });
  await test("a connection that was cut inside a message leaves the others alone", async () => {
    const [one, other] = [await open(server), await connect(server)];
    await one.write(frame(0x82, payload("binary", 1000), 5000));
    one.socket.resetAndDestroy();
    await echo(other, "ascii", Buffer.from("still here"));
    await closed(other, 1000);
  });
}

async function faults(server, test) {
  const unmasked = Buffer.from("810161", "hex");
  for (const [name, code, bytes] of [
    ["an unmasked frame", 1002, unmasked],
    ["a reserved opcode", 1002, frame(0x83, Buffer.from("a"))],
    ["a continuation of nothing", 1002, frame(0x80, Buffer.from("a"))],
    ["a Ping of 126 bytes", 1002, frame(0x89, Buffer.alloc(126))],
    ["text that is not UTF-8", 1007, frame(0x81, Buffer.from([0x61, 0xff]))],
    ["text that ends inside a character", 1007, frame(0x81, Buffer.from([0xe2, 0x82]))],
    ["a frame that declares 1 TiB", 1009, frame(0x82, Buffer.alloc(0), 2 ** 40)],
  ]) {
    await test(`${name} -> ${code}, behind the answer to what preceded it, and the end`, async () => {
      const raw = await open(server);
      await raw.write(Buffer.concat([frame(0x81, Buffer.from("before")), bytes]));
      require((await raw.message()).equals(Buffer.from("before")), "another answer to what preceded it");
      const got = await raw.closeCode();
      require(got === code, `close code ${got}`);
      await raw.until(() => raw.ended);
    });
  }
}

async function handshakes(server, test) {
  await test("a plain GET gets an HTTP answer", async () => {
    const raw = await Raw.connect(server);
    await raw.write(`GET / HTTP/1.1\r\nHost: ${server.host}:${server.port}\r\n\r\n`);
    const head = await raw.head();
    require(/^HTTP\/1\.1 (200|4\d\d) /.test(head), head);
    return head.split("\r\n")[0];
  });
  await test("a page of another origin gets 403, one of the same is admitted", async () => {
    await answered(server, 403, { Origin: "http://example.com" });
    await answered(server, 403, { Origin: "null" });
    await answered(server, 101, { Origin: `http://${server.host}:${server.port}` });
  });
  await test("another version gets 426, with the version that would do", async () => {
    const head = await answered(server, 426, { "Sec-WebSocket-Version": "8" });
    require(/^sec-websocket-version: 13\r?$/im.test(head), head);
  });
  await test("requests that break a rule get 400", async () => {
    await answered(server, 400, { "Sec-WebSocket-Key": "dG9vIHNob3J0" });
    await answered(server, 400, { "Sec-WebSocket-Key": undefined });
    await answered(server, 400, { Connection: "keep-alive" });
    await answered(server, 400, { "Content-Length": "5" });
    await answered(server, 400, { Host: undefined });
  });
  await test("a request byte by byte, then a frame byte by byte", async () => {
    const raw = await Raw.connect(server);
    for (const byte of request(server)) await raw.write(Buffer.of(byte));
    require((await raw.head()).startsWith("HTTP/1.1 101 "), "no 101");
    for (const byte of frame(0x81, Buffer.from("slow"))) await raw.write(Buffer.of(byte));
    require((await raw.message()).equals(Buffer.from("slow")), "another message");
  });
  for (const size of [1, 3000, 300000]) {
    await test(`frames right behind the request: ${size} bytes, and a small one`, async () => {
      const raw = await Raw.connect(server);
      const data = payload("binary", size);
      raw.write(Buffer.concat([request(server), frame(0x82, data), frame(0x81, Buffer.from("second"))]));
      require((await raw.head()).startsWith("HTTP/1.1 101 "), "no 101");
      require((await raw.message()).equals(data), "another message");
      require((await raw.message()).equals(Buffer.from("second")), "another second message");
    });
  }
  await test("of the subprotocols that a client offers one is chosen, or none", async () => {
    const chosen = async (...offers) => {
      const head = await answered(server, 101, { "Sec-WebSocket-Protocol": offers.join(", ") });
      return head.match(/^sec-websocket-protocol: (.*)$/im)?.[1];
    };
    const none = await chosen("soap", "wamp");
    require(none === undefined, `${none} was chosen`);
    const some = await chosen("soap", "echo");
    if (some === undefined) throw new NotRun("the server has none");
    require(some === "echo", `${some} was chosen`);
  });
}

async function pressure(server, test) {
  await test("64 MiB to a peer that does not read: memory is bounded, others go on, nothing is lost", async () => {
    const other = await connect(server);
    await echo(other, "binary", payload("binary", MIB));
    const before = server.memory();
    const ws = await connect(server, [], { maxPayload: 2 * MIB });
    ws.pause();
    const data = payload("binary", MIB);
    for (let i = 0; i < 64; i++) ws.send(data);
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await sleep(100);
      await echo(other, "ascii", Buffer.from("still here"));
      most = Math.max(most, server.memory());
    }
    require(ws.bufferedAmount > 32 * MIB, `the server took all but ${ws.bufferedAmount} bytes from a peer that reads nothing`);
    require(most - before < 24, `memory grew from ${before.toFixed(1)} to ${most.toFixed(1)} MiB`);
    ws.resume();
    for (let i = 0; i < 64; i++) sameMessage(await ws.read(), "binary", data);
    await closed(ws, 1000);
    return `${before.toFixed(1)} MiB, at the most ${most.toFixed(1)} MiB`;
  });
  await test("64 MiB of pings and small messages to a peer that does not read", async () => {
    const other = await connect(server);
    const before = server.memory();
    const raw = await open(server);
    raw.socket.pause();
    const burst = Buffer.concat(Array.from({ length: 500 }, (_, i) => frame(i % 2 ? 0x89 : 0x82, Buffer.alloc(125))));
    let written = 0;
    raw.write(Buffer.alloc(0));
    for (let i = 0; i < 1000; i++) raw.socket.write(burst, () => (written += burst.length));
    let most = 0;
    for (let i = 0; i < 15; i++) {
      await sleep(100);
      await echo(other, "ascii", Buffer.from("still here"));
      most = Math.max(most, server.memory());
    }
    require(written < 48 * MIB, `the server took ${written} bytes from a peer that reads nothing`);
    require(most - before < 24, `memory grew from ${before.toFixed(1)} to ${most.toFixed(1)} MiB`);
    return `${before.toFixed(1)} MiB, at the most ${most.toFixed(1)} MiB`;
  });
}

async function deadlines(start, milliseconds, test) {
  const server = await start();
  for (const [name, step] of [["says nothing", 0], ["goes on with its request byte by byte, and never ends it", 1]]) {
    await test(`a client that ${name} is dropped at the deadline of ${milliseconds} ms, others are not`, async () => {
      const other = await connect(server);
      const raw = await Raw.connect(server);
      const begin = performance.now();
      const bytes = request(server).subarray(0, -2);
      for (let at = 0; !raw.ended && !raw.error; at += step) {
        require(performance.now() - begin < milliseconds + 5000, "it is still there 5 s later");
        if (step) raw.socket.write(bytes.subarray(at, at + step));
        await sleep(milliseconds / 20);
      }
      const took = performance.now() - begin;
      require(took > milliseconds * 0.8, `after ${took.toFixed(0)} ms`);
      await echo(other, "ascii", Buffer.from("still here"));
      return `${took.toFixed(0)} ms`;
    });
  }
  await server.stop();
}

async function failures(run, server, test) {
  await test("an address that is taken: an error, and the end", async () => {
    const second = run(`${server.host}:${server.port}`);
    const status = await second.ended;
    require(status !== 0, "exit status 0");
    require(/in use/i.test(second.errors), `no reason in ${JSON.stringify(second.errors)}`);
    require(!second.errors.includes("panicked"), second.errors);
    return second.errors.trim().split("\n")[0];
  });
}

async function testServer(name, run, handshake) {
  const test = (what, body) => check(`${name}: ${what}`, body);
  let server;
  await test("listens", async () => {
    server = await run("127.0.0.1:0").listening();
    return server.url;
  });
  if (!server) return;
  const idle = server.sockets();
  await messages(server, test);
  await endings(server, test);
  await faults(server, test);
  await handshakes(server, test);
  await pressure(server, test);
  await test("no connection is left over, and nothing has panicked", async () => {
    const start = performance.now();
    while (server.sockets() > idle) {
      require(performance.now() - start < 15000, `${server.sockets() - idle} sockets are left after 15 s`);
      await sleep(50);
    }
    require(server.status === undefined, `the server ended with status ${server.status}: ${server.errors.slice(-300)}`);
    require(!server.errors.includes("panicked"), server.errors.slice(-300));
  });
  await failures(run, server, test);
  await server.stop();
  await deadlines(() => run("127.0.0.1:0", handshake).listening(), handshake ?? 10000, test);
}

const start = performance.now();
const [first, command] = process.argv.slice(2);
if (first === "--server-cmd") {
  const run = (address) => new Server(command.replaceAll("127.0.0.1:0", address), [], true);
  await testServer("server", run, undefined);
} else {
  for (const argument of process.argv.slice(2)) {
    const [name, program] = argument.split(/=(.*)/s);
    const run = (address, ms) => new Server(program, ms ? [address, String(ms)] : [address], false);
    await testServer(name, run, HANDSHAKE_MS);
  }
}
const seconds = ((performance.now() - start) / 1000).toFixed(1);
console.log(`${totals.ok} ok, ${totals.FAIL} failed, ${totals["not run"]} not run, ${seconds} s`);
process.exit(totals.FAIL || !totals.ok ? 1 : 0);
