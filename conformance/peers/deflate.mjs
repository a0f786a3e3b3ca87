// npm `ws` with permessage-deflate, in both roles: commands on standard input, as deflate.py has them.

import { once } from "node:events";
import { createInterface } from "node:readline";
import WebSocket, { WebSocketServer } from "ws";
import { LIMIT, inbox, next, report, require, varied } from "./shared.mjs";

const SIZES = [0, 1, 125, 126, 1024, 20000, 65535, 65536];
const LARGE = [1 << 20, LIMIT];

async function exchange(ws, [, , , sizes]) {
  for (const size of sizes === "large" ? [...SIZES, ...LARGE] : SIZES) {
    for (const kind of ["text", "binary"]) {
      const sent = varied(kind, size);
      ws.send(sent, { binary: kind === "binary" });
      const [data, binary] = await ws.read();
      require(binary === (kind === "binary"), `a ${binary ? "binary" : "text"} reply to ${kind}`);
      require(data.equals(sent), `the reply of ${data.length} bytes differs from the ${sent.length} sent`);
    }
  }
}

async function closed(ws) {
  const end = next(ws, "close");
  ws.close(1000);
  const [code] = await end;
  require(code === 1000, `close code ${code}`);
}

function settings(serverBits, clientBits, takeover) {
  return {
    maxPayload: LIMIT,
    perMessageDeflate: {
      serverMaxWindowBits: Number(serverBits) || undefined,
      clientMaxWindowBits: Number(clientBits) || undefined,
      serverNoContextTakeover: takeover !== "takeover" || undefined,
      clientNoContextTakeover: takeover !== "takeover" || undefined,
      zlibDeflateOptions: { level: 1 },
      threshold: 64,
    },
  };
}

async function connect(address, ...words) {
  const ws = new WebSocket(`ws://${address}/`, settings(...words));
  ws.read = inbox(ws);
  await next(ws, "open");
  await exchange(ws, words);
  await closed(ws);
}

async function listen(...words) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, ...settings(...words) });
  await once(server, "listening");
  report({ port: server.address().port });
  let outcome = new Error("no case ran");
  await new Promise((resolve) => server.on("connection", async (ws, request) => {
    const path = request.url.split("?")[0];
    ws.read = inbox(ws);
    ws.on("error", () => {});
    if (path === "/getCaseCount") ws.send("1");
    if (path === "/runCase") outcome = await exchange(ws, words).catch((error) => error);
    if (path === "/updateReports") resolve();
    ws.close(1000);
  }));
  server.close();
  if (outcome) throw outcome;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  try {
    await { connect, listen }[command](...words);
    report({ ok: true, detail: "" });
  } catch (error) {
    report({ ok: false, detail: error.message });
  }
}
process.exit(0);
