// A WebSocket server's connection in JavaScript, on ws-core in WebAssembly: what a host needs to do with
// the module of src/lib.rs.
import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";

const EVENTS = ["nothing", "request", "http", "open", "text", "binary", "ping", "pong", "closed", "error", "other"];

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
    this.#id = ws.ws_server(now(), maxMessage);
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

  /** The next event, `{ type, payload, code }`, or undefined. */
  poll() {
    const type = EVENTS[this.#ws.ws_poll(this.#id)];
    if (type === "nothing") return undefined;
    const payload = this.#view(this.#ws.ws_event(this.#id), this.#ws.ws_event_len(this.#id)).slice();
    return { type, payload: Buffer.from(payload), code: this.#ws.ws_event_code(this.#id) };
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

  /** Takes all that is to be written to the stream. */
  output() {
    const chunks = [];
    for (;;) {
      const count = this.#ws.ws_output_len(this.#id);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(this.#view(this.#ws.ws_output(this.#id), count).slice());
      this.#ws.ws_written(this.#id, count);
    }
  }

  /** Milliseconds until `handleTimeout` is due, or undefined. */
  timeout() {
    const due = this.#ws.ws_poll_timeout(this.#id);
    // Both wrap after 49.7 days; what has passed looks far away.
    const wait = (due - now()) >>> 0;
    return due < 0 ? undefined : wait > 0x7fffffff ? 0 : wait;
  }

  handleTimeout(at = now()) {
    this.#ws.ws_handle_timeout(this.#id, at);
  }

  get wantsShutdown() {
    return this.#ws.ws_wants_shutdown(this.#id) !== 0;
  }

  get isFinished() {
    return this.#ws.ws_is_finished(this.#id) !== 0;
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
  let timer;
  let shut = false;
  let dropped = false;
  const drop = () => {
    if (dropped) return;
    dropped = true;
    clearTimeout(timer);
    connection.drop();
    socket.destroy();
  };
  const events = () => {
    for (let event; (event = connection.poll()) !== undefined; ) onEvent(connection, event);
  };
  const settle = () => {
    if (dropped) return;
    events();
    const output = connection.output();
    // A peer that does not take what it is sent is not read from.
    if (output.length > 0 && !socket.write(output)) {
      socket.pause();
      socket.once("drain", () => socket.resume());
    }
    if (connection.wantsShutdown && !shut) {
      shut = true;
      socket.end();
    }
    if (connection.isFinished) return void drop();
    clearTimeout(timer);
    const wait = connection.timeout();
    if (wait !== undefined) {
      timer = setTimeout(() => {
        connection.handleTimeout();
        settle();
      }, wait);
    }
  };
  socket.on("data", (bytes) => {
    if (dropped) return;
    connection.handleTimeout();
    for (let at = 0; at < bytes.length; events()) at += connection.receive(bytes.subarray(at));
    settle();
  });
  socket.on("end", () => {
    if (dropped) return;
    connection.receiveEnd();
    settle();
  });
  socket.on("error", drop);
  socket.on("close", drop);
  settle();
}
