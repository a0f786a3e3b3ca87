// Engine.IO 4 and Socket.IO 5 as their texts have them, by bare requests and frames, against the server of
// `embed-socketio --conformance`.

import { once } from "node:events";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { check, require, until } from "./chromium.mjs";

const INTERVAL = 300;
const TIMEOUT = 200;
const POLLING = "EIO=4&transport=polling";
const MAX = 1e6;

const same = (found, wanted) => require(
  JSON.stringify(found) === JSON.stringify(wanted), `${JSON.stringify(found)?.slice(0, 200)} instead of ${JSON.stringify(wanted).slice(0, 200)}`,
);

export async function protocol(server) {
  const { address } = server;
  const path = (folder, query) => `http://${address}/${folder}/?${query}`;

  // A request, and [status, body] of its response.
  async function ask(folder, query, options) {
    const response = await fetch(path(folder, query), options);
    return [response.status, await response.text()];
  }
  const refused = async (folder, query, options, status, code, message) => {
    const [found, body] = await ask(folder, query, options);
    same([found, JSON.parse(body)], [status, { code, message }]);
  };

  class Polling {
    static async open(folder) {
      const polling = new Polling();
      const [status, body] = await ask(folder, POLLING);
      same([status, body[0]], [200, "0"]);
      Object.assign(polling, { folder, handshake: JSON.parse(body.slice(1)) });
      polling.sid = polling.handshake.sid;
      return polling;
    }
    get(options) { return ask(this.folder, `${POLLING}&sid=${this.sid}`, options); }
    post(body, options) { return ask(this.folder, `${POLLING}&sid=${this.sid}`, { method: "POST", body, ...options }); }
    async is(body) { same(await this.get(), [200, body]); }
    async gone() { await refused(this.folder, `${POLLING}&sid=${this.sid}`, {}, 400, 1, "Session ID unknown"); }
  }

  // A WebSocket that answers no Ping by itself; `read` returns what comes, texts as strings.
  async function websocket(folder, query = "") {
    const ws = new WebSocket(`ws://${address}/${folder}/?EIO=4&transport=websocket${query}`);
    ws.inbox = [];
    ws.on("error", () => {});
    ws.on("message", (data, binary) => ws.inbox.push(binary ? data : String(data)));
    ws.closed = once(ws, "close");
    ws.read = async () => {
      await until("message", () => ws.inbox.length || ws.readyState === WebSocket.CLOSED, 3);
      require(ws.inbox.length, "the WebSocket was closed");
      return ws.inbox.shift();
    };
    ws.is = async (wanted) => same(await ws.read(), wanted);
    ws.ends = async () => {
      await Promise.race([ws.closed, sleep(2000).then(() => { throw new Error(`it is open, and has ${ws.inbox}`); })]);
    };
    await once(ws, "open");
    return ws;
  }

  async function engineWebsocket() {
    const ws = await websocket("engine.io");
    ws.handshake = JSON.parse((await ws.read()).slice(1));
    return ws;
  }

  async function probed(polling) {
    const ws = await websocket(polling.folder, `&sid=${polling.sid}`);
    ws.send("2probe");
    await ws.is("3probe");
    return ws;
  }

  const engine = (name, run) => check(`engine.io: ${name}`, run);

  await engine("polling opens a session", async () => {
    const { sid, ...rest } = (await Polling.open("engine.io")).handshake;
    require(/^[\w-]{20}$/.test(sid), `the sid is ${sid}`);
    same(rest, { upgrades: ["websocket"], pingInterval: INTERVAL, pingTimeout: TIMEOUT, maxPayload: MAX });
  });
  await engine("a WebSocket opens a session", async () => {
    const ws = await engineWebsocket();
    const { sid, ...rest } = ws.handshake;
    require(/^[\w-]{20}$/.test(sid), `the sid is ${sid}`);
    same(rest, { upgrades: [], pingInterval: INTERVAL, pingTimeout: TIMEOUT, maxPayload: MAX });
    ws.close();
    await ws.ends();
  });
  for (const [query, code, message] of [
    ["EIO=4", 0, "Transport unknown"], ["EIO=4&transport=abc", 0, "Transport unknown"], ["EIO=4&transport=constructor", 0, "Transport unknown"],
    ["transport=polling", 5, "Unsupported protocol version"], ["EIO=3&transport=polling", 5, "Unsupported protocol version"],
    ["EIO=abc&transport=polling", 5, "Unsupported protocol version"],
    [`${POLLING}&sid=nobody`, 1, "Session ID unknown"], ["EIO=4&transport=websocket", 3, "Bad request"],
  ]) {
    await engine(`GET ?${query} is refused with ${code}`, () => refused("engine.io", query, {}, 400, code, message));
  }
  for (const method of ["POST", "PUT", "DELETE"]) {
    await engine(`${method} without a session is refused`, () => refused("engine.io", POLLING, { method }, 400, 2, "Bad handshake method"));
  }
  await engine("PUT in a session is refused, and harms nothing", async () => {
    const polling = await Polling.open("engine.io");
    await refused("engine.io", `${POLLING}&sid=${polling.sid}`, { method: "PUT", body: "4x" }, 400, 3, "Bad request");
    same(await polling.post("4y"), [200, "ok"]);
    await polling.is("4y");
  });
  for (const query of ["", "EIO=4", "EIO=4&transport=abc", "transport=websocket", "EIO=abc&transport=websocket", "EIO=4&transport=websocket&sid=nobody"]) {
    await engine(`a WebSocket with ?${query} is refused with 400`, async () => {
      const ws = new WebSocket(`ws://${address}/engine.io/?${query}`);
      const [error] = await once(ws, "error");
      require(/400/.test(error.message), error.message);
    });
  }
  await engine("a payload of texts and binary data comes back", async () => {
    const polling = await Polling.open("engine.io");
    const response = await fetch(path("engine.io", `${POLLING}&sid=${polling.sid}`), { method: "POST", body: "4test1\x1e4€\x1ebAQIDBA==\x1e4" });
    same([response.status, response.headers.get("content-type"), await response.text()], [200, "text/html", "ok"]);
    await polling.is("4test1\x1e4€\x1ebAQIDBA==\x1e4");
  });
  await engine("a poll waits for a message", async () => {
    const polling = await Polling.open("engine.io");
    const poll = polling.get();
    await sleep(50);
    await polling.post("4later");
    same(await poll, [200, "4later"]);
  });
  for (const body of ["abc", "", "4ok\x1eabc", "b!", "5", "2", Buffer.from([0x34, 0xff])]) {
    await engine(`the body ${JSON.stringify(String(body))} is refused with 400, and ends the session`, async () => {
      const polling = await Polling.open("engine.io");
      same((await polling.post(body))[0], 400);
      await polling.gone();
    });
  }
  await engine("a second poll at a time is refused, the first ends with a Close packet, and the session ends", async () => {
    const polling = await Polling.open("engine.io");
    const [first, second] = await Promise.all([polling.get(), sleep(20).then(() => polling.get())]);
    same(first, [200, "1"]);
    same(second[0], 400);
    await polling.gone();
  });
  await engine("a second POST at a time is refused, and ends the session", async () => {
    const polling = await Polling.open("engine.io");
    const slow = http.request(path("engine.io", `${POLLING}&sid=${polling.sid}`), { method: "POST", headers: { "Content-Length": 10 } });
    slow.on("error", () => {});
    const answer = once(slow, "response");
    slow.write("4abc");
    await sleep(20);
    same((await polling.post("4x"))[0], 400);
    same((await answer)[0].statusCode, 400);
    slow.destroy();
    await polling.gone();
  });
  await engine("a poll that the client gives up ends the session", async () => {
    const polling = await Polling.open("engine.io");
    const abort = new AbortController();
    const poll = polling.get({ signal: abort.signal }).catch(() => {});
    await sleep(20);
    abort.abort();
    await poll;
    await sleep(20);
    await polling.gone();
  });
  await engine("a body of maxPayload is taken, one more byte is refused with 413", async () => {
    const polling = await Polling.open("engine.io");
    same(await polling.post("4".repeat(MAX)), [200, "ok"]);
    const [, body] = await polling.get();
    same(body.split("\x1e").filter((packet) => packet !== "2"), ["4".repeat(MAX)]); // on a busy machine, a Ping is due by then
    const other = await Polling.open("engine.io");
    same((await other.post("4".repeat(MAX + 1)))[0], 413);
    await other.gone();
  });
  await engine("a body over maxPayload in chunks is refused with 413", async () => {
    const polling = await Polling.open("engine.io");
    const request = http.request(path("engine.io", `${POLLING}&sid=${polling.sid}`), { method: "POST" });
    const answer = once(request, "response");
    request.on("error", () => {});
    for (let i = 0; i < 11; i++) request.write("4".repeat(MAX / 10));
    request.end();
    same((await answer)[0].statusCode, 413);
    await polling.gone();
  });
  await engine("a WebSocket message over maxPayload is refused with 1009", async () => {
    const ws = await engineWebsocket();
    ws.send("4".repeat(MAX));
    await ws.is("4".repeat(MAX));
    ws.send("4".repeat(MAX + 1));
    same((await ws.closed)[0], 1009);
  });
  await engine("texts and binary data over a WebSocket", async () => {
    const ws = await engineWebsocket();
    ws.send("4hello€");
    await ws.is("4hello€");
    ws.send(Buffer.from([1, 2, 3, 4]));
    await ws.is(Buffer.from([1, 2, 3, 4]));
    ws.close();
  });
  for (const text of ["abc", "", "7", "0{}", "2", "5"]) {
    await engine(`the packet ${JSON.stringify(text)} closes a WebSocket`, async () => {
      const ws = await engineWebsocket();
      ws.send(text);
      await ws.ends();
    });
  }
  await engine("heartbeat over polling", async () => {
    const polling = await Polling.open("engine.io");
    for (let i = 0; i < 3; i++) {
      const start = Date.now();
      await polling.is("2");
      const took = Date.now() - start;
      require(took > INTERVAL - 100 && took < INTERVAL + 150, `a Ping after ${took} ms`);
      same(await polling.post("3"), [200, "ok"]);
    }
  });
  await engine("heartbeat over a WebSocket", async () => {
    const ws = await engineWebsocket();
    for (let i = 0; i < 3; i++) {
      await ws.is("2");
      ws.send("3");
    }
    ws.close();
  });
  await engine("without a Pong, a polling session ends", async () => {
    const polling = await Polling.open("engine.io");
    await sleep(INTERVAL + TIMEOUT);
    same((await polling.get())[0], 400);
  });
  await engine("without a Pong, a waiting poll ends with a Close packet", async () => {
    const polling = await Polling.open("engine.io");
    await polling.is("2");
    await polling.is("1");
    await polling.gone();
  });
  await engine("without a Pong, a WebSocket is closed", async () => {
    const ws = await engineWebsocket();
    const start = Date.now();
    await ws.ends();
    const took = Date.now() - start;
    require(took > 400 && took < 700, `after ${took} ms`);
    same(ws.inbox, ["2"]);
  });
  await engine("a Close packet ends a polling session, a waiting poll with a Noop", async () => {
    const polling = await Polling.open("engine.io");
    const poll = polling.get();
    await sleep(20);
    same(await polling.post("1"), [200, "ok"]);
    same(await poll, [200, "6"]);
    await polling.gone();
  });
  await engine("a Close packet closes a WebSocket", async () => {
    const ws = await engineWebsocket();
    ws.send("1");
    await ws.ends();
  });
  await engine("an upgrade from polling to a WebSocket", async () => {
    const polling = await Polling.open("engine.io");
    const ws = await probed(polling);
    ws.send("5");
    ws.send("4hello");
    await ws.is("4hello");
    ws.close();
  });
  await engine("the probe ends a waiting poll with a Noop; what comes before the upgrade packet is not lost", async () => {
    const polling = await Polling.open("engine.io");
    const poll = polling.get();
    await sleep(20);
    const ws = await probed(polling);
    same(await poll, [200, "6"]);
    same(await polling.post("4first\x1ebAQI="), [200, "ok"]);
    ws.send("5");
    ws.send("4second");
    await ws.is("4first");
    await ws.is(Buffer.from([1, 2]));
    await ws.is("4second");
    ws.close();
  });
  await engine("an upgrade packet directly behind the probe ends a waiting poll, too, and messages go by the WebSocket", async () => {
    const polling = await Polling.open("engine.io");
    const poll = polling.get();
    await sleep(20);
    const ws = await websocket("engine.io", `&sid=${polling.sid}`);
    for (const packet of ["2probe", "5", "4hello"]) ws.send(packet);
    for (const packet of ["3probe", "4hello"]) await ws.is(packet);
    same(await poll, [200, "6"]);
    ws.close();
  });
  await engine("after an upgrade, polls of the session are refused and harm nothing", async () => {
    const polling = await Polling.open("engine.io");
    const ws = await probed(polling);
    ws.send("5");
    same((await polling.get())[0], 400);
    same((await polling.post("4x"))[0], 400);
    ws.send("4hello");
    await ws.is("4hello");
    ws.close();
  });
  await engine("after an upgrade, another WebSocket of the session is closed and harms nothing", async () => {
    const polling = await Polling.open("engine.io");
    const ws = await probed(polling);
    ws.send("5");
    await (await websocket("engine.io", `&sid=${polling.sid}`)).ends();
    ws.send("4hello");
    await ws.is("4hello");
    ws.close();
  });
  await engine("a WebSocket of a session that has one from the start is closed and harms nothing", async () => {
    const ws = await engineWebsocket();
    await (await websocket("engine.io", `&sid=${ws.handshake.sid}`)).ends();
    ws.send("4hello");
    await ws.is("4hello");
    ws.close();
  });
  for (const packet of ["2", "4hello", "5", "abc"]) {
    await engine(`${packet} instead of a probe closes that WebSocket, and polling goes on`, async () => {
      const polling = await Polling.open("engine.io");
      const ws = await websocket("engine.io", `&sid=${polling.sid}`);
      ws.send(packet);
      await ws.ends();
      await polling.post("4still here");
      await polling.is("4still here");
    });
  }
  await engine("a WebSocket that closes behind the probe leaves the session to polling, and another one may try", async () => {
    const polling = await Polling.open("engine.io");
    (await probed(polling)).close();
    await sleep(50);
    await polling.post("4still here");
    await polling.is("4still here");
    const ws = await probed(polling);
    ws.send("5");
    ws.send("4hello");
    await ws.is("4hello");
    ws.close();
  });
  await engine("the heartbeat goes on over an upgrade", async () => {
    const polling = await Polling.open("engine.io");
    await polling.is("2");
    const ws = await probed(polling);
    ws.send("5");
    ws.send("3");
    await ws.is("2");
    ws.send("3");
    await ws.is("2");
    await ws.ends();
  });
  await engine("a client that leaves without a Close frame ends its session", async () => {
    const ws = await engineWebsocket();
    ws.terminate();
    await sleep(50);
    await refused("engine.io", `${POLLING}&sid=${ws.handshake.sid}`, {}, 400, 1, "Session ID unknown");
  });
  await engine("a page of an allowed origin may read responses, and send headers of its own", async () => {
    const headers = { Origin: "http://example.com", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-mine" };
    const preflight = await fetch(path("engine.io", POLLING), { method: "OPTIONS", headers });
    const field = (name) => preflight.headers.get(`access-control-allow-${name}`);
    same([preflight.status, field("origin"), field("methods"), field("headers")], [204, "http://example.com", "GET, POST", "x-mine"]);
    for (const query of [POLLING, "EIO=3&transport=polling"]) {
      const response = await fetch(path("engine.io", query), { headers: { Origin: "null" } });
      same([response.headers.get("access-control-allow-origin"), response.headers.get("vary")], ["null", "Origin"]);
    }
  });

  const socket = (name, run) => check(`socket.io: ${name}`, run);
  const open = async () => {
    const ws = await websocket("socket.io");
    await ws.read();
    return ws;
  };
  // Connected to a namespace, its answers read.
  const connect = async (ws, to = "") => {
    ws.send(to ? `40${to},` : "40");
    await ws.read();
    await ws.read();
  };
  const connected = async (to) => {
    const ws = await open();
    await connect(ws, to);
    return ws;
  };

  for (const namespace of ["", "/custom,"]) {
    for (const payload of ["", '{"token":"123"}']) {
      await socket(`40${namespace}${payload} connects`, async () => {
        const ws = await open();
        ws.send(`40${namespace}${payload}`);
        const answer = await ws.read();
        require(answer.startsWith(`40${namespace}{`), answer);
        const { sid, ...rest } = JSON.parse(answer.slice(2 + namespace.length));
        require(/^[\w-]{20}$/.test(sid), `the sid is ${sid}`);
        same(rest, {});
        await ws.is(`42${namespace}["auth",${payload || "{}"}]`);
        ws.close();
      });
    }
  }
  await socket("40/custom without a comma connects, too", async () => {
    const ws = await open();
    ws.send("40/custom");
    require((await ws.read()).startsWith("40/custom,{"), "it does not");
    ws.close();
  });
  await socket("an unknown namespace is refused, and the connection stays", async () => {
    const ws = await open();
    ws.send("40/random");
    await ws.is('44/random,{"message":"Invalid namespace"}');
    await connect(ws);
    ws.send('42["message",1]');
    await ws.is('42["message-back",1]');
    ws.close();
  });
  await socket("two namespaces on one connection have ids of their own, and do not mix", async () => {
    const ws = await open();
    ws.send("40");
    const [main] = [await ws.read(), await ws.read()];
    ws.send("40/custom,");
    const [custom] = [await ws.read(), await ws.read()];
    require(main.slice(2) !== custom.slice("40/custom,".length), "the ids are the same");
    ws.send('42/custom,["message","a"]');
    ws.send('42["message","b"]');
    await ws.is('42/custom,["message-back","a"]');
    await ws.is('42["message-back","b"]');
    ws.close();
  });
  await socket("over polling", async () => {
    const polling = await Polling.open("socket.io");
    same(await polling.post("40"), [200, "ok"]);
    let all = "";
    while (!all.includes("\x1e")) all += (all && "\x1e") + (await polling.get())[1];
    require(/^40{"sid":"[^"]+"}\x1e42\["auth",{}\]$/.test(all), all);
    same(await polling.post('451-["message",{"_placeholder":true,"num":0}]\x1ebAQID'), [200, "ok"]);
    await polling.is('451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQID');
  });
  for (const first of ["42[\"message\",1]", "41", "43[1]", "4", "4abc", "abc", "49", '40{"token"', "40[]", "401", '44{"message":"x"}']) {
    await socket(`${first} instead of connecting closes the connection`, async () => {
      const ws = await open();
      ws.send(first);
      await ws.ends();
    });
  }
  await socket("binary data instead of connecting closes the connection", async () => {
    const ws = await open();
    ws.send(Buffer.from([1]));
    await ws.ends();
  });
  await socket("a client that connects to no namespace in time is closed, though it answers Pings", async () => {
    const ws = await open();
    ws.on("message", (data) => String(data) === "2" && ws.send("3"));
    await ws.ends();
  });
  await socket("41 disconnects from the main namespace; the connection stays, and may connect again", async () => {
    const ws = await connected();
    ws.send("41");
    await ws.is("2");
    ws.send("3");
    await connect(ws);
    ws.send('42["message"]');
    await ws.is('42["message-back"]');
    ws.close();
  });
  await socket("41/custom, disconnects from that namespace only", async () => {
    const ws = await connected();
    await connect(ws, "/custom");
    ws.send("41/custom,");
    ws.send('42["message","to the main one"]');
    await ws.is('42["message-back","to the main one"]');
    ws.send('42/custom,["message"]');
    await ws.ends();
  });
  for (const args of ['1,"2",{"3":[true]}', "", "null", '{"b":1,"a":[1.5,-1e3,"€\\n\\u001e"]}', "[[[[]]]]"].map((args) => args && `,${args}`)) {
    await socket(`an event with the arguments ${args.slice(1) || "none"}`, async () => {
      const ws = await connected();
      ws.send(`42["message"${args}]`);
      const answer = await ws.read();
      same(JSON.parse(answer.slice(2)), JSON.parse(`["message-back"${args}]`));
      ws.send(`42456["message-with-ack"${args}]`);
      const ack = await ws.read();
      same([ack.slice(0, 5), JSON.parse(ack.slice(5))], ["43456", JSON.parse(`["message-with-ack"${args}]`).slice(1)]);
      ws.close();
    });
  }
  const data = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
  const pieces = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
  await socket("an event with binary data", async () => {
    const ws = await connected();
    for (const namespace of ["", "/custom,"]) {
      if (namespace) await connect(ws, "/custom");
      for (const packet of [`452-${namespace}["message",${data}]`, ...pieces]) ws.send(packet);
      for (const packet of [`452-${namespace}["message-back",${data}]`, ...pieces]) await ws.is(packet);
    }
    ws.close();
  });
  await socket("an acknowledgement with binary data", async () => {
    const ws = await connected();
    for (const packet of [`452-789["message-with-ack",${data}]`, ...pieces]) ws.send(packet);
    for (const packet of [`462-789[${data}]`, ...pieces]) await ws.is(packet);
    ws.close();
  });
  await socket("binary data at any depth, in any order", async () => {
    const ws = await connected();
    const nested = '{"a":[{"_placeholder":true,"num":1},{"b":{"_placeholder":true,"num":0}}]}';
    for (const packet of [`452-["message",${nested}]`, ...pieces]) ws.send(packet);
    for (const packet of [`452-["message-back",${nested}]`, ...pieces]) await ws.is(packet);
    ws.close();
  });
  await socket("an unknown event is ignored", async () => {
    const ws = await connected();
    ws.send('42["nobody listens"]');
    ws.send('427["nobody listens"]');
    ws.send('42["message"]');
    await ws.is('42["message-back"]');
    ws.close();
  });
  for (const packet of [
    "42", "42{}", "42[]", '42abc["message"]', '42[1', "42[null]", "42[{}]", '42["connect"]', '42["disconnect"]', '42/other,["message"]', "41{}", "43[]", "43", "431{}",
    '4299999999999999999999["message"]', '45-["message"]', '45x-["message"]', '45+1-["message"]', '451["message"]', '45101-["message"]', '451-["message",{"_placeholder":true,"num":1}]',
    '451-["message",{"_placeholder":true,"num":-1}]', '451-["message",{"_placeholder":true,"num":"0"}]', '451-["message",[{"a":{"_placeholder":true}}]]', "40", '44{}',
    `42["message",${"[".repeat(500)}${"]".repeat(500)}]`,
  ]) {
    await socket(`${packet.slice(0, 60)} closes the connection`, async () => {
      const ws = await connected();
      ws.send(packet);
      await ws.ends();
    });
  }
  await socket("text instead of an attachment closes the connection, and so does an attachment that nothing asks for", async () => {
    let ws = await connected();
    ws.send(`452-["message",${data}]`);
    ws.send(pieces[0]);
    ws.send('42["message"]');
    await ws.ends();
    ws = await connected();
    ws.send(pieces[0]);
    await ws.ends();
  });
  await socket("attachments that never come cost nobody else anything", async () => {
    const [ws, other] = [await connected(), await connected()];
    ws.send(`452-["message",${data}]`);
    ws.send(pieces[0]);
    await ws.is("2");
    ws.send("3");
    await other.is("2");
    other.send("3");
    other.send('42["message"]');
    await other.is('42["message-back"]');
    ws.send(pieces[1]);
    await ws.is(`452-["message-back",${data}]`);
    other.close();
    ws.close();
  });
  await socket("attachments of more than ten times maxPayload together close the connection", async () => {
    const ws = await connected();
    ws.send('4511-["message"]');
    for (let i = 0; i < 11; i++) ws.send(Buffer.alloc(MAX));
    await ws.ends();
  });
  await socket("a client that reads nothing is closed, and the server keeps little of it", async () => {
    const memory = () => server.memory();
    const ws = await connected();
    const before = memory();
    ws.pause();
    const text = `42["message","${"x".repeat(MAX - 100)}"]`;
    for (let i = 0; i < 60; i++) ws.send(text);
    await sleep(INTERVAL + TIMEOUT + 300);
    const kept = memory() - before;
    require(kept < 60, `it keeps ${kept.toFixed(0)} MiB`);
    ws.resume();
    await ws.ends();
    return `${kept.toFixed(0)} MiB more`;
  });
}
