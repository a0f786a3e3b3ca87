// A WebSocket server's connection in JavaScript, on ws-core in WebAssembly: what a host needs to do with
// the module of src/lib.rs.
import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";

const ANSWERS = [
  "wait", "request", "http", "open", "text", "binary", "ping", "pong", "closed", "failed", "write", "shutdown", "done",
  "other",
];

const now = () => Math.floor(performance.now()) >>> 0;

/** The functions and the memory of the module at `path`. */
export async function load(path) {
  const { instance } = await WebAssembly.instantiate(await readFile(path));
  return instance.exports;
}

export class Connection {
  #ws;
  #id;

  constructor(ws, { maxMessage = 16 << 20 } = {}) {
    this.#ws = ws;
    this.#id = ws.ws_server(maxMessage);
  }

  drop() {
    this.#ws.ws_drop(this.#id);
  }

  /** Takes as much of what was read from the stream as there is room for; returns how much. */
  receive(bytes) {
    const count = Math.min(this.#ws.ws_input_len(this.#id), bytes.length);
    // The memory may have moved since: its address is asked for last.
    const at = this.#ws.ws_input(this.#id);
    this.#view(at, count).set(bytes.subarray(0, count));
    this.#ws.ws_received(this.#id, count);
    return count;
  }

  receiveEnd() {
    this.#ws.ws_received_end(this.#id);
  }

  receiveReset() {
    this.#ws.ws_received_reset(this.#id);
  }

  /** What to do next: `{ type, payload, code, until }`. */
  next(at = now()) {
    const type = ANSWERS[this.#ws.ws_next(this.#id, at >>> 0)];
    const until = this.#ws.ws_until(this.#id);
    const told = this.#view(this.#ws.ws_told(this.#id), this.#ws.ws_told_len(this.#id)).slice();
    const code = this.#ws.ws_code(this.#id);
    return { type, payload: Buffer.from(told), code, until: until < 0 ? undefined : until };
  }

  /** Tells that the stream has taken so many bytes. */
  written(count) {
    this.#ws.ws_written(this.#id, count);
  }

  shutDown() {
    this.#ws.ws_shut_down(this.#id);
  }

  accept() {
    return this.#ws.ws_accept(this.#id) !== 0;
  }

  respond(status, body = "") {
    this.#put(body);
    return this.#ws.ws_respond(this.#id, status) !== 0;
  }

  sendText(text) {
    this.#put(text);
    return this.#ws.ws_send_text(this.#id) !== 0;
  }

  sendBinary(bytes) {
    this.#put(bytes);
    return this.#ws.ws_send_binary(this.#id) !== 0;
  }

  ping(payload = "") {
    this.#put(payload);
    return this.#ws.ws_ping(this.#id) !== 0;
  }

  close(code, reason = "") {
    this.#put(reason);
    return this.#ws.ws_close(this.#id, code) !== 0;
  }

  #view(at, count) {
    return new Uint8Array(this.#ws.memory.buffer, at, count);
  }

  #put(bytes) {
    const from = Buffer.from(bytes);
    const at = this.#ws.ws_outgoing(this.#id, from.length);
    this.#view(at, from.length).set(from);
  }
}

/** Runs a connection on a socket of `node:net`; `onEvent` answers requests and messages. */
export function serve(ws, socket, onEvent) {
  const connection = new Connection(ws);
  let unread = Buffer.alloc(0);
  let ended = false;
  let timer;
  let dropped = false;
  const drop = () => {
    if (dropped) return;
    dropped = true;
    clearTimeout(timer);
    connection.drop();
    socket.destroy();
  };
  /** Hands over what was read; whether there was anything. */
  const feed = () => {
    const count = connection.receive(unread);
    unread = unread.subarray(count);
    // What there is no room for is not read.
    if (unread.length > 0) socket.pause();
    else socket.resume();
    if (count > 0 || unread.length > 0 || !ended) return count > 0;
    ended = false;
    connection.receiveEnd();
    return true;
  };
  const wait = (until) => {
    clearTimeout(timer);
    if (until === undefined) return;
    // Both wrap after 49.7 days; what has passed looks far away.
    const left = (until - now()) >>> 0;
    timer = setTimeout(run, left > 0x7fffffff ? 0 : left);
  };
  const write = (bytes) => {
    socket.write(bytes, (error) => {
      if (dropped) return;
      if (error) connection.receiveReset();
      else connection.written(bytes.length);
      run();
    });
  };
  const run = () => {
    while (!dropped) {
      const next = connection.next();
      if (next.type === "write") write(next.payload);
      else if (next.type === "done") drop();
      else if (next.type === "shutdown") {
        socket.end();
        connection.shutDown();
      } else if (next.type !== "wait") onEvent(connection, next);
      else if (!feed()) return void wait(next.until);
    }
  };
  socket.on("data", (bytes) => {
    unread = Buffer.concat([unread, bytes]);
    run();
  });
  socket.on("end", () => {
    ended = true;
    run();
  });
  const reset = () => {
    if (dropped) return;
    connection.receiveReset();
    run();
  };
  socket.on("error", reset);
  socket.on("close", reset);
  run();
}
