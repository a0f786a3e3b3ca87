// What the Node peers share: payloads, waiting with a deadline, and one JSON line per check.

import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";

export const MIB = 1 << 20;
export const LIMIT = 16 * MIB;
export const SIZES = [0, 1, 125, 126, 65535, 65536, MIB, LIMIT];
const SECONDS = 40;

// `size` bytes of each kind; the multibyte text holds characters of 1 to 4 bytes.
export function payload(kind, size) {
  if (kind === "binary") return Buffer.alloc(size, createHash("sha512").update(String(size)).digest());
  const unit = Buffer.from(kind === "ascii" ? "The quick brown fox. " : "é€😀z");
  const whole = Math.floor(size / unit.length) * unit.length;
  return Buffer.concat([Buffer.alloc(whole, unit), Buffer.alloc(size - whole, "-")]);
}

// Words in an order that does not repeat soon, then the same 64 KiB again and again; `kind` is text or binary.
export function varied(kind, size) {
  const words = ['{"id": ', "größe", ', "name": ', "temperature", "日本語", "value", "0.25", "}, "].map((word) => Buffer.from(word));
  let state = size;
  const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const parts = [];
  for (let length = 0; length < Math.min(size, 1 << 16); length += parts.at(-1).length) {
    parts.push(kind === "text" ? words[draw() >>> 29] : Buffer.from([draw() >>> 28, 0, draw() >>> 28]));
  }
  const data = Buffer.alloc(size, Buffer.concat(parts));
  // A character is not cut.
  let end = size;
  while (kind === "text" && !isUtf8(data.subarray(0, end))) end -= 1;
  return data.fill("-", end);
}

// Cut at places that do not respect characters.
export function pieces(data, count) {
  const step = Math.ceil(data.length / count);
  return Array.from({ length: count }, (_, i) => data.subarray(i * step, (i + 1) * step));
}

export function require(condition, message) {
  if (!condition) throw new Error(message);
}

// The payload of the next ping or pong, close code, ...: one event, or the connection's error.
export function next(ws, event) {
  return new Promise((resolve, reject) => {
    const fail = (text) => reject(new Error(`${text} while waiting for ${event}`));
    const onError = (error) => fail(error.message);
    const onClose = (code) => fail(`closed with ${code}`);
    ws.once(event, (...values) => {
      ws.off("error", onError);
      if (event !== "close") ws.off("close", onClose);
      resolve(values);
    });
    if (event !== "error") ws.once("error", onError);
    if (event !== "close") ws.once("close", onClose);
  });
}

// Messages in their order of arrival, those that arrive before they are asked for too.
export function inbox(ws) {
  const arrived = [];
  const waiting = [];
  const settle = () => {
    while (waiting.length && (arrived.length || ws.inboxError)) {
      const [resolve, reject] = waiting.shift();
      arrived.length ? resolve(arrived.shift()) : reject(new Error(ws.inboxError));
    }
  };
  ws.on("message", (data, binary) => { arrived.push([data, binary]); settle(); });
  ws.on("close", (code, reason) => { ws.inboxError ??= `closed with ${code} ${reason}`; settle(); });
  ws.on("error", (error) => { ws.inboxError = error.message; settle(); });
  return () => new Promise((resolve, reject) => { waiting.push([resolve, reject]); settle(); });
}

export function sameMessage([data, binary], kind, expected) {
  require(binary === (kind === "binary"), `a ${binary ? "binary" : "text"} reply to ${kind}`);
  require(data.equals(expected), `the reply of ${data.length} bytes differs from the ${expected.length} sent`);
}

export function report(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

export async function check(name, run) {
  const start = performance.now();
  let ok = true;
  let detail = "";
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${SECONDS} s`)), SECONDS * 1000);
  });
  try {
    detail = (await Promise.race([run(), deadline])) ?? "";
  } catch (error) {
    ok = false;
    detail = error.message;
  }
  clearTimeout(timer);
  report({ name, ok, seconds: (performance.now() - start) / 1000, detail });
}

// A peer never outlives the script that started it.
export function endWithInput() {
  process.stdin.resume().on("end", () => process.exit(0));
}
