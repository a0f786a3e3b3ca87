// npm `ws` as a client of an echo server. One JSON line per check, then {"done": true}.
//
//   node client.mjs ws://HOST:PORT

import WebSocket from "ws";
import { LIMIT, MIB, SIZES, check, endWithInput, inbox, next, payload, pieces, report, require, sameMessage } from "./shared.mjs";

const url = process.argv[2];
const open = new Set();
endWithInput();

async function connect(protocols, options) {
  const ws = new WebSocket(url, protocols, { maxPayload: 4 * LIMIT, handshakeTimeout: 10000, ...options });
  open.add(ws);
  ws.read = inbox(ws);
  await next(ws, "open");
  return ws;
}

async function closed(ws, code, ...reason) {
  const end = next(ws, "close");
  ws.close(code, ...reason);
  const [got, why] = await end;
  require(got === (code ?? 1005), `close code ${got} instead of ${code ?? 1005}`);
  require(["", ...reason].includes(why.toString()), `close reason ${why}`);
}

async function each(name, run) {
  await check(name, run);
  for (const ws of open) ws.terminate();
  open.clear();
}

await each("opens without an extension or a subprotocol that nobody asked for", async () => {
  const ws = await connect([], { perMessageDeflate: false });
  require(ws.extensions === "" && ws.protocol === "", `extensions ${ws.extensions}, protocol ${ws.protocol}`);
  await closed(ws, 1000);
});

for (const kind of ["ascii", "multibyte", "binary"]) {
  for (const size of SIZES) {
    await each(`${kind} message of ${size} bytes`, async () => {
      const ws = await connect();
      const data = payload(kind, size);
      ws.send(data, { binary: kind === "binary" });
      sameMessage(await ws.read(), kind, data);
      await closed(ws, 1000);
    });
  }
}

for (const [kind, size, count] of [["multibyte", 10, 5], ["binary", 65536, 3], ["multibyte", MIB, 100], ["binary", LIMIT, 16]]) {
  await each(`${kind} message of ${size} bytes in ${count} fragments with a ping after each`, async () => {
    const ws = await connect();
    const data = payload(kind, size);
    const pongs = [];
    ws.on("pong", (value) => pongs.push(value.toString()));
    pieces(data, count).forEach((piece, i) => {
      ws.send(piece, { binary: kind === "binary", fin: i === count - 1 });
      ws.ping(`ping ${i}`);
    });
    sameMessage(await ws.read(), kind, data);
    while (pongs.at(-1) !== `ping ${count - 1}`) await next(ws, "pong");
    require(pongs.every((value) => /^ping \d+$/.test(value)), `pongs ${pongs}`);
    await closed(ws, 1000);
  });
}

for (const size of [0, 1, 125]) {
  await each(`a ping of ${size} bytes gets its payload back`, async () => {
    const ws = await connect();
    const data = payload("binary", size);
    const pong = next(ws, "pong");
    ws.ping(data);
    require((await pong)[0].equals(data), "another payload");
    await closed(ws, 1000);
  });
}

await each("100 pipelined messages come back in order", async () => {
  const ws = await connect();
  const messages = Array.from({ length: 100 }, (_, i) => [i % 2 ? "binary" : "multibyte", i * i]);
  for (const [kind, size] of messages) ws.send(payload(kind, size), { binary: kind === "binary" });
  for (const [kind, size] of messages) sameMessage(await ws.read(), kind, payload(kind, size));
  await closed(ws, 1000);
});

for (const [code, ...reason] of [[1000, "goodbye, ünïcödé"], [1000, "x".repeat(123)], [1001, "leaving"], [3000], [4999, "private"], []]) {
  await each(`Close ${code ?? "without a code"}${reason.length ? ` with a reason of ${Buffer.byteLength(reason[0])} bytes` : ""}`, async () => {
    const ws = await connect();
    await closed(ws, code, ...reason);
  });
}

await each("messages sent just before Close are answered before it", async () => {
  const ws = await connect();
  for (let i = 0; i < 10; i++) ws.send(`message ${i}`);
  const end = closed(ws, 1000);
  for (let i = 0; i < 10; i++) sameMessage(await ws.read(), "ascii", Buffer.from(`message ${i}`));
  await end;
});

for (const [name, sizes] of [["in one frame", [LIMIT + 1]], ["in two fragments", [LIMIT, 1]]]) {
  await each(`a message of 16 MiB + 1 ${name} -> 1009`, async () => {
    const ws = await connect();
    const end = new Promise((resolve) => ws.on("close", (code) => resolve(code)));
    sizes.forEach((size, i) => ws.send(payload("binary", size), { fin: i === sizes.length - 1 }, () => {}));
    const code = await end;
    require(code === 1009, `close code ${code}`);
  });
}

await each("50 connections at once", async () => {
  const all = await Promise.all(Array.from({ length: 50 }, () => connect()));
  all.forEach((ws, i) => ws.send(`connection ${i}`));
  await Promise.all(all.map(async (ws, i) => sameMessage(await ws.read(), "ascii", Buffer.from(`connection ${i}`))));
  await Promise.all(all.map((ws) => closed(ws, 1000)));
});

await each("a connection that was cut leaves the others alone", async () => {
  const [one, other] = [await connect(), await connect()];
  one.send(payload("binary", MIB));
  one.terminate();
  other.send("still here");
  sameMessage(await other.read(), "ascii", Buffer.from("still here"));
  await closed(other, 1000);
});

report({ done: true });
process.exit(0);
