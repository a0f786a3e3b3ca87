// Chromium with the page that the firmware serves. One JSON line per check, then {"done": true}.
//
//   node firmware_browser.mjs HOST:PORT

import { check, endWithInput, report, require } from "../peers/shared.mjs";
import { launch } from "./chromium.mjs";

const address = process.argv[2];
endWithInput();

const browser = await launch();
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(15000);

async function entry(kind, count, text) {
  await page.waitForFunction(([kind, count]) => document.querySelectorAll(`#log > li.${kind}`).length >= count, [kind, count]);
  const last = await page.$$eval(`#log > li.${kind}`, (items) => items.at(-1).textContent);
  require(last.includes(text), `the entry says ${last}`);
}

await check("the firmware's page opens a WebSocket to the firmware", async () => {
  const response = await page.goto(`http://${address}/`);
  require(response.status() === 200, `status ${response.status()}`);
  await entry("open", 1, "");
});
await check("text is echoed", async () => {
  for (const [i, text] of ["hello from the page", "Grüße, 日本語, 😀", "x".repeat(5000)].entries()) {
    await page.fill("#message", text);
    await page.click("#send");
    await entry("received", i + 1, text);
  }
});
await check("the close button closes with 1000, clean", async () => {
  await page.click("#close");
  await entry("close", 1, "1000");
  await entry("close", 1, "clean");
});
await check("it connects again, and 100000 bytes come back", async () => {
  const size = await page.evaluate((url) => new Promise((resolve, reject) => {
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    const bytes = Uint8Array.from({ length: 100000 }, (_, i) => i * 31 & 255);
    ws.onopen = () => ws.send(bytes);
    ws.onerror = () => reject(new Error("an error event"));
    ws.onmessage = ({ data }) => {
      const got = new Uint8Array(data);
      ws.onclose = ({ code, wasClean }) => code === 1000 && wasClean ? resolve(got.length) : reject(new Error(`closed with ${code}`));
      if (got.length === bytes.length && got.every((byte, i) => byte === bytes[i])) ws.close(1000);
      else reject(new Error("another reply"));
    };
  }), `ws://${address}/`);
  return `${size} bytes`;
});
await check("a page of another origin is refused", async () => {
  await page.route("http://127.0.0.1:1/", (route) => route.fulfill({ contentType: "text/html", body: "<p>elsewhere" }));
  await page.goto("http://127.0.0.1:1/");
  const outcome = await page.evaluate((url) => new Promise((resolve) => {
    const ws = new WebSocket(url);
    ws.onopen = () => resolve("open");
    ws.onclose = ({ code }) => resolve(`closed with ${code}`);
  }), `ws://${address}/`);
  require(outcome === "closed with 1006", outcome);
});
await browser.close();
report({ done: true });
process.exit(0);
