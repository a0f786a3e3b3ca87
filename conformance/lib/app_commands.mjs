// The example programs as commands, with no page or none that matters: what they print and how they end.

import { FREE, Program, Server, check, example, require, until, within } from "./chromium.mjs";
import { all, closesAll, enter, lists, state, tab, tabs } from "./tabs.mjs";

export async function alone() {
  await check("each application alone: --self-check ends with status 0", async () => {
    const names = ["clock", "ticker", "im", "scheduler"];
    for (const name of names) {
      const program = new Program(example(name), ["--self-check"]);
      require(await within(15, program.ended) === 0, `${name}: status ${program.status}: ${program.errors}`);
      require(program.output === "/ is well\n", `${name} prints ${program.output}`);
    }
  });
  await check("echo_server: Ctrl-C closes its page with 1001, clean, and ends it with status 0", async () => {
    const server = await Server.start(example("echo_server"), FREE);
    const pages = await tabs(server.url, 2);
    const took = await closesAll(server, pages);
    await all(pages, (page) => page.close());
    return took;
  });
}

export async function reconnect() {
  const server = await Server.start(example("greet"), FREE);
  const program = new Program(example("reconnect"), ["--base", "200ms", "--max", "1s", server.ws]);
  const lines = () => program.output.trim().split("\n");
  await check("reconnect: prints that it connects, is open, and what it receives", async () => {
    await program.says(/received, Hi there/);
    require(lines().join() === `connecting to ${server.ws},open,received, Hi there`, `it prints ${lines()}`);
  });
  await check("reconnect: prints that the connection is lost and why, and retries ever later, at random", async () => {
    await server.signal("SIGKILL");
    const pausesSoFar = () => [...program.output.matchAll(/^retrying in (\d+) ms$/gm)].map(([, ms]) => Number(ms));
    // Seven, of which one is longer than the first can be.
    await until("pauses that grow", () => pausesSoFar().length >= 7 && pausesSoFar().some((ms) => ms > 200), 25);
    require(/^lost, .+/.test(lines()[3]), `it prints ${lines()[3]}`);
    const pauses = pausesSoFar();
    const most = (i) => Math.min(200 * 2 ** i, 1000);
    require(pauses.every((ms, i) => ms <= most(i)), `the pauses are ${pauses}`);
    require(new Set(pauses.map((ms, i) => Math.round(100 * ms / most(i)))).size > 2, `the pauses have no jitter: ${pauses}`);
    const tail = lines().slice(4).map((line) => line.split(/[ ,]/)[0]).join(" ");
    require(/^(retrying connecting failed ?)+/.test(tail), `it prints ${tail}`);
    return `${lines()[3]}; ${pauses.join(", ")} ms`;
  });
  await check("reconnect: comes back when the server does, and sends what is typed", async () => {
    await server.again();
    await program.says(/retrying in \d+ ms\nconnecting to \S+\nopen\nreceived, Hi there/);
    program.child.stdin.write("typed\n");
    await program.says(/received, Received: typed/);
  });
  await check("reconnect: Ctrl-C closes, and ends it with status 0", async () => {
    const status = await program.signal("SIGINT");
    require(status === 0 && /^closed, .*1000/.test(lines().at(-1)), `status ${status}, ${lines().at(-1)}`);
    await server.signal("SIGKILL");
    return lines().at(-1);
  });
}

export async function push_vs_poll() {
  await check("push_vs_poll: prints the bytes of 600 polls beside 600 pushes", async () => {
    const program = new Program(example("push_vs_poll"));
    require(await within(25, program.ended) === 0, `status ${program.status}: ${program.errors}`);
    const row = (name) => new RegExp(`^600 ${name} +(\\d+) +(\\d+) +([\\d.]+)$`, "m").exec(program.output)?.slice(1).map(Number);
    const [polls, pushes] = [row("polls"), row("pushes")];
    require(polls && pushes, `it prints ${program.output}`);
    // Of each push: two bytes, and the text of up to three; and once the handshakes.
    const payload = Array.from({ length: 600 }, (_, i) => String(i).length + 2).reduce((sum, n) => sum + n);
    require(pushes[1] > payload && pushes[1] < payload + 400, `${pushes[1]} bytes down, ${payload} of them frames`);
    for (const [up, down, each] of [polls, pushes]) require(Math.abs((up + down) / 600 - each) < 0.06, `${each} per message`);
    const times = Math.round((polls[0] + polls[1]) / (pushes[0] + pushes[1]));
    require(times > 10 && program.output.endsWith(`Polling takes ${times} times the bytes.\n`), `it prints ${program.output}`);
    return `${times} times the bytes`;
  });
}

export async function ws() {
  const connect = (...args) => new Program(example("ws"), ["connect", ...args]);
  await check("ws: `serve --echo` and `connect`, with a header, a subprotocol, and a trace of heads and frames", async () => {
    const server = await Server.start(example("ws"), "serve", FREE, "--echo", "--protocol", "chat", "--trace");
    const program = connect(server.ws, "--protocol", "chat", "--header", "X-Test: yes", "--trace");
    program.child.stdin.end("hello\nGrüße \x1b[31m\n");
    require(await within(10, program.ended) === 0, `status ${program.status}: ${program.errors}`);
    require(program.output === "hello\nGrüße \\u{1b}[31m\n", `it prints ${program.output}`);
    const traced = [
      "> GET /ws HTTP/1.1", "> X-Test: yes", "> Sec-WebSocket-Protocol: chat", "< HTTP/1.1 101 Switching Protocols", "< Sec-WebSocket-Protocol: chat",
      "open, subprotocol chat", '> text, 5 bytes: "hello"', '< text, 5 bytes: "hello"', '> close, 2 bytes: 1000 ""', '< close, 2 bytes: 1000 ""',
    ];
    const lines = program.errors.split("\n");
    for (const line of traced) require(lines.includes(line), `no line ${line} in ${program.errors}`);
    await server.says(/^\S+ < X-Test: yes$/m, "errors");
    await server.says(/^\S+ > HTTP\/1.1 101 Switching Protocols$/m, "errors");
    await server.says(/^\S+ < text, 5 bytes: "hello"$/m, "errors");
    require(!(program.output + program.errors + server.output + server.errors).includes("\x1b"), "an escape of a peer reaches the terminal");
    await server.signal("SIGKILL");
  });
  await check("ws: `serve --broadcast` passes on to the others, its input to all; Ctrl-C closes with 1001", async () => {
    const server = await Server.start(example("ws"), "serve", FREE, "--broadcast");
    const [one, two] = [connect(server.ws, "--stay"), connect(server.ws, "--stay")];
    await Promise.all([one, two].map((program) => program.says(/^open$/m, "errors")));
    await until("both in", () => server.errors.match(/: open$/gm)?.length === 2);
    one.child.stdin.write("from one\n");
    await two.says(/^from one$/m);
    server.child.stdin.write("from the server\n");
    await Promise.all([one, two].map((program) => program.says(/^from the server$/m)));
    require(one.output === "from the server\n", `the sender gets ${one.output}`);
    require(await server.signal("SIGINT") === 0, `status ${server.status}`);
    for (const program of [one, two]) require(await within(10, program.ended) === 0, `status ${program.status}: ${program.errors}`);
    return server.errors.split("\n").filter((line) => line.includes("1001"))[0];
  });
  await check("ws: --ping-interval pings, and Ctrl-C closes with 1000", async () => {
    const server = await Server.start(example("ws"), "serve", FREE);
    const program = connect(server.ws, "--stay", "--ping-interval", "100ms", "--trace");
    await program.says(/> ping, 0 bytes[^]*< pong, 0 bytes[^]*> ping, 0 bytes[^]*< pong/, "errors");
    require(await program.signal("SIGINT") === 0, `status ${program.status}: ${program.errors}`);
    require(program.errors.includes('< close, 2 bytes: 1000 ""'), "no Close came back");
    await server.signal("SIGKILL");
  });
  await check("ws: `serve --echo` answers a page in Chromium", async () => {
    const pages = await Server.start(example("greet"), FREE);
    const server = await Server.start(example("ws"), "serve", FREE, "--echo", "--origin", `http://${pages.address}`);
    const page = await tab(`${pages.url}#server=${server.ws}`);
    await state(page, "open");
    await enter(page, "#message", "from a page");
    await lists(page, "#log li.message", "message: from a page");
    await page.close();
    await Promise.all([pages, server].map((program) => program.signal("SIGKILL")));
  });
  await check("ws: what cannot be reached, and a page of another origin, end with status 1 and say why", async () => {
    const refused = connect("ws://127.0.0.1:1/");
    refused.child.stdin.end();
    require(await within(10, refused.ended) === 1 && refused.errors.length > 10, `status ${refused.status}: ${refused.errors}`);
    const server = await Server.start(example("ws"), "serve", FREE, "--origin", "http://127.0.0.1:1");
    const stranger = connect(server.ws, "--origin", "http://127.0.0.1:2");
    stranger.child.stdin.end();
    require(await within(10, stranger.ended) === 1 && stranger.errors.includes("403"), `status ${stranger.status}: ${stranger.errors}`);
    await server.signal("SIGKILL");
    return stranger.errors;
  });
}
