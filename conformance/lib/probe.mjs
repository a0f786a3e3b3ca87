// Sockets that are opened by scripts in a page, and the checks of permessage-deflate that use them.

import { connect, createServer } from "node:net";
import { require } from "./chromium.mjs";

// Runs inside the page. `Probe` is a socket whose events can be awaited.
export function installProbe() {
  window.Probe = class {
    constructor(url, protocols = []) {
      this.events = [];
      this.waiting = [];
      this.ws = new WebSocket(url, protocols);
      this.ws.binaryType = "arraybuffer";
      this.ws.onopen = () => this.arrive({ type: "open" });
      this.ws.onerror = () => this.arrive({ type: "error" });
      this.ws.onmessage = ({ data }) => this.arrive({ type: "message", data });
      this.ws.onclose = ({ code, reason, wasClean }) => this.arrive({ type: "close", code, reason, wasClean });
    }
    arrive(event) {
      this.waiting.length ? this.waiting.shift()(event) : this.events.push(event);
    }
    next() {
      return this.events.length ? Promise.resolve(this.events.shift()) : new Promise((resolve) => this.waiting.push(resolve));
    }
    async expect(type) {
      const event = await this.next();
      if (event.type !== type) throw new Error(`${JSON.stringify(event)} instead of ${type}`);
      return event;
    }
    async echo(data) {
      this.ws.send(data);
      return (await this.expect("message")).data;
    }
    async close(code, reason) {
      this.ws.close(code, reason);
      const event = await this.expect("close");
      if (!event.wasClean || event.code !== code || !["", reason].includes(event.reason)) throw new Error(JSON.stringify(event));
    }
  };
  window.same = (a, b) => a.byteLength === b.byteLength && new Uint8Array(a).every((byte, i) => byte === b[i]);
  window.bytes = (size) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

// `page` is one of playwright or of puppeteer; `serve` starts an echo server with these options. `limits`: the browser
// offers client_max_window_bits. One that does not is told to reset its context, if the server wants less than 15 bits.
export async function deflateChecks(check, page, serve, { limits }) {
  for (const [options, bits, reset] of [
    [["--deflate"], 12, false],
    [["--deflate-window", "9"], 9, false],
    [["--deflate-window", "15"], 15, false],
    [["--deflate", "--deflate-no-takeover"], 12, true],
    [["--deflate-window", "9", "--deflate-no-takeover"], 9, true],
    [["--deflate-window", "15", "--deflate-no-takeover"], 15, true],
  ]) {
    const agreed = ["permessage-deflate"];
    if (reset) agreed.push("server_no_context_takeover");
    if (reset || !limits && bits < 15) agreed.push("client_no_context_takeover");
    if (bits < 15) agreed.push(`server_max_window_bits=${bits}`);
    if (bits < 15 && limits) agreed.push(`client_max_window_bits=${bits}`);
    const server = await serve(...options);
    const relay = await Relay.to(server.address);
    // A page of the server itself may connect to it.
    await page.goto(`http://${relay.address}/`);
    await page.evaluate(installProbe);
    await check(`${options.join(" ")}: text and binary of 0 bytes to 16 MiB`, async () => {
      const [extensions, plain] = await page.evaluate(exchange, [`ws://${relay.address}/`, 16 << 20]);
      const { answer } = relay;
      require(answer === agreed.join("; "), `agreed on "${answer}" instead of "${agreed.join("; ")}"`);
      // Firefox says the name alone.
      require([answer, "permessage-deflate"].includes(extensions), `the page sees "${extensions}"`);
      const { sent, received } = relay;
      require(Math.max(sent, received) < plain * 0.7, `${sent} and ${received} bytes for ${plain}`);
      return `${answer}; ${plain} bytes became ${sent}, and ${received} back`;
    });
    await check(`${options.join(" ")}: the server has closed normally`, () => server.says(/closed, 1000/, "errors"));
    relay.stop();
    await server.signal("SIGINT");
  }
}

// Between a browser and a server: what the server has agreed on, and the bytes in each direction.
class Relay {
  static async to(address) {
    const relay = new Relay();
    relay.sent = relay.received = 0;
    const [host, port] = address.split(":");
    relay.listener = createServer((browser) => {
      const server = connect(Number(port), host);
      browser.on("data", (data) => (relay.sent += data.length));
      server.on("data", (data) => {
        relay.received += data.length;
        relay.answer ??= /^sec-websocket-extensions: *(.*?)\r$/im.exec(data.toString("latin1"))?.[1];
      });
      for (const [from, to] of [[browser, server], [server, browser]]) from.pipe(to).on("error", () => from.destroy());
    });
    await new Promise((resolve) => relay.listener.listen(0, "127.0.0.1", resolve));
    relay.address = `127.0.0.1:${relay.listener.address().port}`;
    return relay;
  }

  stop() {
    this.listener.close();
  }
}

// Runs inside the page: messages that are worth compressing, and some that are not.
async function exchange([url, most]) {
  const probe = new Probe(url);
  await probe.expect("open");
  let plain = 0;
  for (const size of [0, 1, 125, 126, 1024, 65535, 65536, 1 << 20, 1 << 24].filter((size) => size <= most)) {
    const line = (i) => `{"id": ${i * 7919}, "name": "Größe ${i % 13}", "value": ${i / 4}}, `;
    let text = "";
    for (let i = 0; text.length < Math.min(size, 1 << 17); i++) text += line(i);
    text = text.repeat(Math.ceil(size / text.length) || 0).slice(0, size - size / 8); // some characters are two bytes
    if (await probe.echo(text) !== text) throw new Error(`another reply to a text of ${size} characters`);
    const binary = bytes(size);
    if (!same(await probe.echo(binary), binary)) throw new Error(`another reply to ${size} bytes`);
    const noise = new Uint8Array(Math.min(size, 65536)).map(() => Math.random() * 256);
    if (!same(await probe.echo(noise), noise)) throw new Error(`another reply to ${noise.length} bytes of noise`);
    plain += text.length + binary.length + noise.length;
  }
  for (let i = 0; i < 100; i++) probe.ws.send(`message ${i} `.repeat(i));
  for (let i = 0; i < 100; i++) {
    const { data } = await probe.expect("message");
    if (data !== `message ${i} `.repeat(i)) throw new Error(`another reply to message ${i}`);
  }
  const { extensions } = probe.ws;
  await probe.close(1000, "");
  return [extensions, plain];
}
