// npm `ws` as a client of the firmware, which serves one client at a time. One JSON line per check, then
// {"done": true}.
//
//   node firmware_client.mjs ws://HOST:PORT

import WebSocket from "ws";
import { check, endWithInput, inbox, next, payload, pieces, report, require, sameMessage } from "../peers/shared.mjs";

const url = process.argv[2];
endWithInput();

async function each(name, run) {
  let ws;
  await check(name, async () => {
    ws = new WebSocket(url, { handshakeTimeout: 20000, perMessageDeflate: true });
    ws.read = inbox(ws);
    await next(ws, "open");
    await run(ws);
  });
  ws?.terminate();
}

async function closed(ws, code = 1000, ...reason) {
  const end = next(ws, "close");
  ws.close(code, ...reason);
  const [got] = await end;
  require(got === code, `close code ${got} instead of ${code}`);
}

await each("offers permessage-deflate, gets none", async (ws) => {
  require(ws.extensions === "" && ws.protocol === "", `extensions ${ws.extensions}, protocol ${ws.protocol}`);
  await closed(ws);
});
for (const kind of ["multibyte", "binary"]) {
  await each(`${kind} messages of 0 to 65536 bytes`, async (ws) => {
    for (const size of [0, 1, 125, 126, 764, 765, 65536]) {
      const data = payload(kind, size);
      ws.send(data, { binary: kind === "binary" });
      sameMessage(await ws.read(), kind, data);
    }
    await closed(ws);
  });
}
await each("20000 bytes of text in 50 fragments with a ping after each", async (ws) => {
  const data = payload("multibyte", 20000);
  const pongs = [];
  ws.on("pong", (value) => pongs.push(value.toString()));
  pieces(data, 50).forEach((piece, i) => {
    ws.send(piece, { binary: false, fin: i === 49 });
    ws.ping(`ping ${i}`);
  });
  sameMessage(await ws.read(), "multibyte", data);
  while (pongs.at(-1) !== "ping 49") await next(ws, "pong");
  await closed(ws);
});
await each("100 pipelined messages come back in order, then Close", async (ws) => {
  const messages = Array.from({ length: 100 }, (_, i) => [i % 2 ? "binary" : "multibyte", i * 9]);
  for (const [kind, size] of messages) ws.send(payload(kind, size), { binary: kind === "binary" });
  const end = closed(ws);
  for (const [kind, size] of messages) sameMessage(await ws.read(), kind, payload(kind, size));
  await end;
});
for (const [code, reason] of [[1001, "leaving"], [3000, "x".repeat(123)], [4999, "ünïcödé"]]) {
  await each(`Close ${code} with a reason of ${Buffer.byteLength(reason)} bytes`, (ws) => closed(ws, code, reason));
}
await check("10 clients at once are served one after another", async () => {
  await Promise.all(Array.from({ length: 10 }, async (_, i) => {
    const ws = new WebSocket(url, { handshakeTimeout: 20000 });
    ws.read = inbox(ws);
    await next(ws, "open");
    ws.send(`client ${i}`);
    sameMessage(await ws.read(), "ascii", Buffer.from(`client ${i}`));
    await closed(ws);
  }));
});
report({ done: true });
process.exit(0);
