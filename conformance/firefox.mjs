// Firefox and permessage-deflate; started by conformance/firefox.

import { parseArgs } from "node:util";
import { launch } from "puppeteer-core";
import { FREE, Server, check as checkNamed, example, require, run } from "./lib/chromium.mjs";
import { deflateChecks, installProbe } from "./lib/probe.mjs";

const { values: options } = parseArgs({ options: { "server-cmd": { type: "string" } } });
const check = (name, run) => checkNamed(`firefox: ${name}`, run);

// The echo server on a free port.
function serve(...more) {
  const [command, ...args] = options["server-cmd"]?.split(/\s+/) ?? [example("echo_server")];
  return Server.start(command, ...args, FREE, ...more);
}

function start() {
  return launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, timeout: 60000 });
}

await run(async (browser) => {
  const page = await browser.newPage();
  await check("a server without the extension", async () => {
    const server = await serve();
    await page.goto(`http://${server.address}/`);
    await page.evaluate(installProbe);
    const extensions = await page.evaluate(async (url) => {
      const probe = new Probe(url);
      await probe.expect("open");
      if (await probe.echo("hello") !== "hello") throw new Error("another reply");
      await probe.close(1000, "");
      return probe.ws.extensions;
    }, `ws://${server.address}/`);
    require(extensions === "", `extensions "${extensions}"`);
  });
  await deflateChecks(check, page, serve, { limits: false });
}, start);
