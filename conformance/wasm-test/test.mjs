// ws-core in WebAssembly under Node: first bytes written by hand, then npm `ws` over TCP. One line per
// check and the totals; exit status 1 when one fails.
//
//   node test.mjs MODULE.wasm
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { get } from "node:http";
import { createServer } from "node:net";
import { performance } from "node:perf_hooks";
import { once } from "node:events";
import { createRequire } from "node:module";
import { Connection, load, serve } from "./host.mjs";

const WebSocket = createRequire(new URL("../", import.meta.url))("ws");
const ws = await load(process.argv[2]);
let passed = 0;
let failed = 0;

async function check(name, run) {
  const start = performance.now();
  let outcome = "ok";
  let limit;
  try {
    const late = new Promise((_, reject) => (limit = setTimeout(() => reject(new Error("took over 30 s")), 30000)));
    await Promise.race([run(), late]);
    passed += 1;
  } catch (error) {
    outcome = "FAIL";
    failed += 1;
    name += `: ${error.message}`;
  }
  clearTimeout(limit);
  const seconds = ((performance.now() - start) / 1000).toFixed(3);
  console.log(`${outcome.padEnd(7)} ${seconds.padStart(8)} s  ${name}`);
}

const hex = (text) => Buffer.from(text.replace(/\s/g, ""), "hex");

// RFC 6455 section 1.3.
const REQUEST = [
  "GET /chat HTTP/1.1",
  "Host: server.example.com",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
];
const head = (lines) => Buffer.from([...lines, "", ""].join("\r\n"));
const SWITCH = head([
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
]);

/** Echoes messages; remembers what it is told. */
function echo(told) {
  return (connection, { type, payload, code }) => {
    told.push(type === "closed" ? [type, code] : [type, payload.toString("latin1")]);
    if (type === "request") assert(connection.accept());
    if (type === "http") assert(connection.respond(200, "a page\n"));
    if (type === "text") assert(connection.sendText(payload));
    if (type === "binary") assert(connection.sendBinary(payload));
  };
}

/** Does what a connection says until that is to wait, to shut down, or to drop it; tells which. */
function run(connection, onEvent, output, at) {
  for (;;) {
    const next = connection.next(at);
    if (["wait", "shutdown", "done"].includes(next.type)) return next;
    if (next.type === "write") {
      output.push(next.payload);
      connection.written(next.payload.length);
    } else {
      onEvent(connection, next);
    }
  }
}

/** Feeds bytes to a fresh connection, `step` at a time; tells the outcome. */
function talk(bytes, step = bytes.length, options) {
  const connection = new Connection(ws, options);
  const told = [];
  const output = [];
  const onEvent = echo(told);
  let rest;
  for (let at = 0; at < bytes.length; ) {
    at += connection.receive(bytes.subarray(at, at + step));
    rest = run(connection, onEvent, output, 0);
  }
  return { connection, told, output: Buffer.concat(output), rest: rest.type };
}

/** What a connection does after its handshake, the same at once and byte by byte. */
function exchange(frames, options) {
  const bytes = Buffer.concat([head(REQUEST), hex(frames)]);
  const all = talk(bytes, bytes.length, options);
  const single = talk(bytes, 1, options);
  assert.deepEqual(single.told, all.told);
  assert.deepEqual(single.output, all.output);
  single.connection.drop();
  assert.deepEqual(all.told.splice(0, 2), [["request", "/chat"], ["open", ""]]);
  assert.deepEqual(all.output.subarray(0, SWITCH.length), SWITCH);
  return { ...all, output: all.output.subarray(SWITCH.length) };
}

// RFC 6455 section 5.7, with masks where a client has them.
const EXCHANGES = [
  ["a masked text message", "81 85 37fa213d 7f9f4d5158", "81 05 48656c6c6f", [["text", "Hello"]]],
  ["an empty message", "81 80 37fa213d", "81 00", [["text", ""]]],
  ["two fragments", "01 83 00000000 48656c 80 82 00000000 6c6f", "81 05 48656c6c6f", [["text", "Hello"]]],
  ["a ping", "89 85 37fa213d 7f9f4d5158", "8a 05 48656c6c6f", [["ping", "Hello"]]],
  ["a ping between fragments", "02 81 00000000 61 89 81 00000000 78 80 81 00000000 62", "8a 01 78 82 02 6162",
    [["ping", "x"], ["binary", "ab"]]],
  ["an unasked pong", "8a 81 00000000 78", "", [["pong", "x"]]],
  ["256 bytes", `82 fe 0100 00000000 ${"ab".repeat(256)}`, `82 7e 0100 ${"ab".repeat(256)}`,
    [["binary", "\xab".repeat(256)]]],
  ["64 KiB", `82 ff 0000000000010000 00000000 ${"cd".repeat(65536)}`, `82 7f 0000000000010000 ${"cd".repeat(65536)}`,
    [["binary", "\xcd".repeat(65536)]]],
  ["a close with a code", "88 82 00000000 03e8", "88 02 03e8", [["closed", 1000]]],
  ["a close without a code", "88 80 00000000", "88 00", [["closed", 1005]]],
];
for (const [name, received, sent, events] of EXCHANGES) {
  await check(name, () => {
    const { connection, told, output, rest } = exchange(received);
    assert.deepEqual(told, events);
    assert.equal(output.toString("hex"), hex(sent).toString("hex"));
    assert.equal(rest, events[0][0] === "closed" ? "shutdown" : "wait");
    connection.drop();
  });
}

const MALFORMED = [
  ["an unmasked frame", "81 05", 1002, "unmasked frame from a client"],
  ["a reserved bit", "c1 80 00000000", 1002, "reserved bit set without an extension"],
  ["a reserved opcode", "83 80 00000000", 1002, "reserved opcode"],
  ["a fragmented ping", "09 80 00000000", 1002, "fragmented control frame"],
  ["a ping of 126 bytes", "89 fe 007e", 1002, "control frame of more than 125 bytes"],
  ["a length that is not minimal", "82 fe 007d", 1002, "length not in its shortest form"],
  ["a length of 2^63", "82 ff 8000000000000000", 1002, "length of 2^63 or more"],
  ["a continuation of nothing", "80 80 00000000", 1002, "continuation while no message is open"],
  ["a message inside a message", "01 80 00000000 81 80 00000000", 1002, "new message inside a fragmented one"],
  ["a close of one byte", "88 81 00000000 03", 1002, "close frame with a body of one byte"],
  ["a close with 1005", "88 82 00000000 03ed", 1002, "close code must not be sent"],
  ["a close whose reason is not UTF-8", "88 83 00000000 03e8 ff", 1007, "close reason is not UTF-8"],
  ["text that is not UTF-8, before its frame ends", "81 85 00000000 48 ff", 1007, "text is not UTF-8"],
  ["text that ends inside a character", "81 82 00000000 48 c3", 1007, "text is not UTF-8"],
  ["a frame of 16 MiB and one byte", "82 ff 0000000001000001", 1009, "frame longer than the limit"],
  // What fits into a 32-bit length when its upper half is lost.
  ["a frame of 2^32 + 5 bytes", "82 ff 0000000100000005", 1009, "frame longer than the limit"],
  ["a frame of 2^63 - 1 bytes", "82 ff 7fffffffffffffff", 1009, "frame longer than the limit"],
];
for (const [name, frames, code, reason] of MALFORMED) {
  await check(`${name}: ${code}`, () => {
    const { connection, told, output, rest } = exchange(frames);
    assert.equal(told.length, 1);
    assert.equal(told[0][0], "failed");
    const close = Buffer.from([0x88, 2 + reason.length, code >> 8, code & 0xff, ...Buffer.from(reason)]);
    assert.equal(output.toString("hex"), close.toString("hex"));
    assert.equal(rest, "shutdown");
    connection.shutDown();
    assert.equal(connection.next(0).type, "wait");
    connection.receiveEnd();
    assert.equal(connection.next(0).type, "done");
    connection.drop();
  });
}

await check("a request of another version gets 426", () => {
  const lines = [...REQUEST.slice(0, -1), "Sec-WebSocket-Version: 8"];
  const { connection, output, rest } = talk(head(lines));
  assert.match(output.toString(), /^HTTP\/1\.1 426 .*\r\nSec-WebSocket-Version: 13\r\n/s);
  assert.equal(rest, "shutdown");
  connection.drop();
});

await check("an ordinary request gets a page", () => {
  const { connection, told, output } = talk(head(["GET /page HTTP/1.1", "Host: a"]));
  assert.deepEqual(told, [["http", "/page"]]);
  assert.match(output.toString(), /^HTTP\/1\.1 200 .*\r\n\r\na page\n$/s);
  connection.drop();
});

await check("a request that does not come times out", () => {
  const connection = new Connection(ws);
  const { type, until } = connection.next(1000);
  assert.deepEqual([type, until], ["wait", 11000]);
  assert.equal(connection.next(10999).type, "wait");
  assert.equal(connection.next(11000).type, "failed");
  connection.drop();
});

await check("a close that is not answered times out", () => {
  const { connection } = exchange("");
  assert(connection.close(1001, "away"));
  const output = [];
  const { type, until } = run(connection, undefined, output, 1000);
  assert.equal(Buffer.concat(output).toString("latin1"), "\x88\x06\x03\xe9away");
  assert(!connection.close(1001) && !connection.sendText("late"));
  assert.deepEqual([type, until], ["wait", 6000]);
  assert.equal(connection.next(5999).type, "wait");
  const told = [];
  const end = run(connection, (_, { type, code }) => told.push([type, code]), output, 6000);
  assert.deepEqual(told, [["closed", 1006]]);
  assert.deepEqual([end.type, end.until], ["shutdown", 6000]);
  assert.equal(connection.next(6000).type, "done");
  connection.drop();
});

await check("what cannot be sent is refused", () => {
  const { connection } = exchange("");
  assert(!connection.sendText(hex("ff")) && !connection.ping(Buffer.alloc(126)));
  assert(!connection.close(1006) && !connection.close(70000) && !connection.close(1000, "x".repeat(124)));
  assert.equal(connection.next(0).type, "wait");
  connection.drop();
});

await check("a connection that does not exist says nothing", () => {
  for (const id of [12345, 0xffffffff]) {
    assert.deepEqual([ws.ws_input_len(id), ws.ws_next(id, 0), ws.ws_told_len(id), ws.ws_until(id)], [0, 0, 0, -1]);
    ws.ws_received(id, 10);
    ws.ws_drop(id);
  }
});

// The same module as a server over TCP.
const told = [];
const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => serve(ws, socket, echo(told)));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `ws://127.0.0.1:${server.address().port}/`;

async function connect(options) {
  const client = new WebSocket(url, options);
  await once(client, "open");
  return client;
}

async function echoed(client, message) {
  client.send(message);
  const [data, binary] = await once(client, "message");
  assert.equal(binary, typeof message !== "string");
  assert(data.equals(Buffer.from(message)), "the echo differs");
}

for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20, 16 << 20]) {
  await check(`ws: ${size} bytes, text and binary`, async () => {
    const client = await connect();
    await echoed(client, "\u00e9".repeat(size / 2) + "x".repeat(size % 2));
    await echoed(client, randomBytes(size));
    client.terminate();
  });
}

await check("ws: fragments and a ping", async () => {
  const client = await connect();
  const echo = once(client, "message");
  client.send("first, ", { fin: false });
  client.ping("between");
  const [pong] = await once(client, "pong");
  assert.equal(pong.toString(), "between");
  client.send("last", { fin: true });
  assert.equal((await echo)[0].toString(), "first, last");
  client.terminate();
});

await check("ws: 2,000 messages in order", async () => {
  const client = await connect();
  const hash = createHash("sha256");
  let count = 0;
  const all = new Promise((resolve) => client.on("message", (data) => {
    assert.equal(data.toString(), `message ${count}`);
    hash.update(data);
    if (++count === 2000) resolve();
  }));
  for (let index = 0; index < 2000; index++) client.send(`message ${index}`);
  await all;
  client.terminate();
});

await check("ws: its close is answered, and TCP ends", async () => {
  const client = await connect();
  const ended = once(client._socket, "end");
  client.close(3001, "bye");
  const [code] = await once(client, "close");
  await ended;
  assert.equal(code, 3001);
  assert.deepEqual(told.at(-1), ["closed", 3001]);
});

await check("ws: a frame without a mask is refused", async () => {
  const client = await connect();
  client._socket.write(hex("81 05 48656c6c6f"));
  const [code] = await once(client, "close");
  assert.equal(code, 1002);
});

await check("ws: one that vanishes does not disturb another", async () => {
  const other = await connect();
  const client = await connect();
  client._socket.write(hex("82 fe 0100 00000000 ab"));
  client.terminate();
  await echoed(other, "still here");
  other.terminate();
});

await check("ws: 50 at once", async () => {
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect()));
  await Promise.all(clients.map((client, index) => echoed(client, `client ${index}`)));
  for (const client of clients) client.terminate();
});

await check("http: a page on the same port", async () => {
  const [response] = await once(get(url.replace("ws:", "http:")), "response");
  const chunks = await response.toArray();
  assert.equal(response.statusCode, 200);
  assert.equal(Buffer.concat(chunks).toString(), "a page\n");
});

server.close();
console.log(`${passed} ok, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
