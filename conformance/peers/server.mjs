// npm `ws` as a server of the clients under test, on a free port. JSON lines: {"port": N}, then one
// object per check of a fuzzing case, or {"event": "end", "id": ...} per other connection.
//
//   node server.mjs [CHAIN.pem KEY.pem]     (with a certificate: over TLS)
//
// /echo           echoes in three fragments, with a ping before, inside and after each reply
// /close-first    echoes one message and closes with 1001
// /close-on-open  closes with 4000 at once
// // /getCaseCount, /runCase?case=N&agent=A, /updateReports?agent=A   as the Autobahn fuzzing server

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { WebSocketServer } from "ws";
import { LIMIT, MIB, SIZES, check, endWithInput, inbox, next, payload, pieces, report, require, sameMessage } from "./shared.mjs";

const cases = [];
for (const kind of ["ascii", "multibyte", "binary"]) {
  for (const size of SIZES) cases.push([`${kind} message of ${size} bytes`, (ws) => message(ws, kind, size)]);
}
for (const [kind, size, count] of [["multibyte", 10, 5], ["binary", 65536, 3], ["multibyte", MIB, 100], ["binary", LIMIT, 16]]) {
  cases.push([`${kind} message of ${size} bytes in ${count} fragments with a ping after each`, (ws) => fragmented(ws, kind, size, count)]);
}
for (const size of [0, 1, 125]) cases.push([`a ping of ${size} bytes gets its payload back`, (ws) => ping(ws, size)]);
cases.push(["100 pipelined messages come back in order", pipelined]);
for (const [code, ...reason] of [[1000, "goodbye, ünïcödé"], [1001, "x".repeat(123)], [3000], [4999, "private"], []]) {
  cases.push([`Close ${code ?? "without a code"}`, (ws) => closed(ws, code, ...reason)]);
}
cases.push(["a message of 16 MiB + 1 in one frame -> 1009", (ws) => tooBig(ws, [LIMIT + 1])]);
cases.push(["a message of 16 MiB + 1 in two fragments -> 1009", (ws) => tooBig(ws, [LIMIT, 1])]);

async function message(ws, kind, size) {
  const data = payload(kind, size);
  ws.send(data, { binary: kind === "binary" });
  sameMessage(await ws.read(), kind, data);
  await closed(ws, 1000, "done");
}

async function fragmented(ws, kind, size, count) {
  const data = payload(kind, size);
  const pongs = [];
  ws.on("pong", (value) => pongs.push(value.toString()));
  pieces(data, count).forEach((piece, i) => {
    ws.send(piece, { binary: kind === "binary", fin: i === count - 1 });
    ws.ping(`ping ${i}`);
  });
  sameMessage(await ws.read(), kind, data);
  while (pongs.at(-1) !== `ping ${count - 1}`) await next(ws, "pong");
  await closed(ws, 1000, "done");
}

async function ping(ws, size) {
  const pong = next(ws, "pong");
  ws.ping(payload("binary", size));
  require((await pong)[0].equals(payload("binary", size)), "another payload");
  await closed(ws, 1000, "done");
}

async function pipelined(ws) {
  const messages = Array.from({ length: 100 }, (_, i) => [i % 2 ? "binary" : "multibyte", i * i]);
  for (const [kind, size] of messages) ws.send(payload(kind, size), { binary: kind === "binary" });
  for (const [kind, size] of messages) sameMessage(await ws.read(), kind, payload(kind, size));
  await closed(ws, 1000, "done");
}

async function closed(ws, code, ...reason) {
  const end = next(ws, "close");
  ws.close(code, ...reason);
  const [got, why] = await end;
  require(got === (code ?? 1005), `the client's close code is ${got} instead of ${code ?? 1005}`);
  require(["", ...reason].includes(why.toString()), `close reason ${why}`);
}

async function tooBig(ws, sizes) {
  const end = new Promise((resolve) => ws.on("close", resolve));
  sizes.forEach((size, i) => ws.send(payload("binary", size), { fin: i === sizes.length - 1 }, () => {}));
  const code = await end;
  require(code === 1009, `the client's close code is ${code}`);
}

function echo(ws, query) {
  const pings = [];
  const unexpected = [];
  let messages = 0;
  const ping = (name) => { pings.push(name); ws.ping(name, undefined, () => {}); };
  ws.on("pong", (value) => {
    // A pong answers every ping before it too (RFC 6455 section 5.5.3).
    const at = pings.indexOf(value.toString());
    at < 0 ? unexpected.push(value.toString()) : pings.splice(0, at + 1);
  });
  ws.on("message", (data, binary) => {
    messages += 1;
    ping(`before ${messages}`);
    const [first, ...rest] = pieces(data, 3);
    ws.send(first, { binary, fin: false });
    ping(`inside ${messages}`);
    rest.forEach((piece, i) => ws.send(piece, { binary, fin: i === rest.length - 1 }, () => {}));
    ping(`after ${messages}`);
  });
  ws.on("close", (code, reason) => report({
    event: "end", id: query.get("id"), code, reason: reason.toString(), messages, unexpected,
    unanswered: pings.filter((name) => name !== `after ${messages}`),
  }));
}

function end(ws, query) {
  ws.on("close", (code, reason) => report({ event: "end", id: query.get("id"), code, reason: reason.toString() }));
}

const paths = {
  "/echo": echo,
  "/close-first": (ws, query) => { end(ws, query); ws.once("message", (data, binary) => { ws.send(data, { binary }); ws.close(1001, "going away"); }); },
  "/close-on-open": (ws, query) => { end(ws, query); ws.close(4000, "not now"); },
  "/getCaseCount": (ws) => { ws.send(String(cases.length)); ws.close(1000); },
  "/updateReports": (ws, query) => { report({ event: "reports", agent: query.get("agent") }); ws.close(1000); },
  "/runCase": (ws, query) => {
    const [name, run] = cases[Number(query.get("case")) - 1] ?? [`case ${query.get("case")}`, async () => require(false, "no such case")];
    check(name, () => run(ws)).then(() => ws.terminate());
  },
};

endWithInput();
const [chain, key] = process.argv.slice(2).map((path) => readFileSync(path));
const listener = chain ? https.createServer({ cert: chain, key }) : http.createServer();
const server = new WebSocketServer({ server: listener, maxPayload: 4 * LIMIT, perMessageDeflate: true });
listener.listen(0, "127.0.0.1", () => report({ port: listener.address().port, cases: cases.length }));
server.on("connection", (ws, request) => {
  const url = new URL(request.url, "http://localhost");
  ws.on("error", () => {});
  ws.read = inbox(ws);
  (paths[url.pathname] ?? ((unknown) => unknown.close(4004, "no such path")))(ws, url.searchParams);
});
