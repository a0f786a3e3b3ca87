// Drives the example applications as their users would; started by conformance/apps.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { FREE, Program, Server, check, example, out, require, root, run, until, within } from "./lib/chromium.mjs";
import * as commands from "./lib/app_commands.mjs";
import {
  LONG, MARKUP, all, closesAll, enter, everyPage, lists, looks, nothingInjected, sameMoments, seen, shows, state, tab, tabs, texts, useBrowser,
} from "./lib/tabs.mjs";

// A WebSocket of Node, with the texts that it has heard.
async function client(url, options) {
  const ws = new WebSocket(url, options);
  ws.heard = [];
  ws.on("message", (data) => ws.heard.push(String(data)));
  await within(10, once(ws, "open"));
  return ws;
}

async function greet() {
  const server = await Server.start(example("greet"), FREE);
  const [desk, phone] = await tabs(server.url, 2);
  const heard = (page, ...wanted) => lists(page, "#log li.message", ...wanted.map((text) => `message: ${text}`));
  await check("greet: says `Hi there` to each tab as it connects", async () => {
    for (const page of [desk, phone]) {
      await heard(page, "Hi there");
      await lists(page, "#log li.open", `open: ${server.ws}`);
    }
  });
  await check("greet: answers every message with `Received: ` and the message, in its own tab only", async () => {
    await enter(desk, "#message", "Grüße, 😀");
    await desk.fill("#message", "second");
    await desk.click("button.main");
    await heard(desk, "Hi there", "Received: Grüße, 😀", "Received: second");
    await heard(phone, "Hi there");
  });
  await check("greet: markup is shown as text", async () => {
    await enter(phone, "#message", MARKUP);
    await enter(phone, "#message", LONG);
    await heard(phone, "Hi there", `Received: ${MARKUP}`, `Received: ${LONG}`);
    await nothingInjected(phone);
  });
  await check("greet: the log has the close, with its code and wasClean, and the page stays closed", async () => {
    const third = await tab(server.url);
    await state(third, "open");
    await third.click("#close");
    await lists(third, "#log li.close", "close: code 1000, wasClean true");
    await sleep(1500);
    const { states } = await seen(third);
    require(states.map(({ text }) => text).join(" ") === "connecting open closing closed", JSON.stringify(states));
    await third.close();
  });
  await everyPage("greet", server, [desk, phone], async () => {
    for (const page of [desk, phone]) {
      const [lost, failed] = await texts(page, "#log li.close");
      require(lost === "close: code 1006, wasClean false" && failed === lost, `the log says ${lost}, ${failed}`);
      const errors = await texts(page, "#log li.error");
      require(errors.length && errors.every((text) => text === "error: the connection failed"), `the log has the errors ${errors}`);
      await until("greeting", async () => (await texts(page, "#log li.message")).at(-1) === "message: Hi there");
    }
  });
}

// The clock's page on another port, which is another origin.
async function pageElsewhere() {
  const kinds = { html: "text/html", css: "text/css", js: "text/javascript" };
  const server = http.createServer((request, response) => {
    const [, file, kind] = /^\/((?:clock|app|socket)\.(html|css|js))(?:\?|$)/.exec(request.url) ?? [];
    if (!file) return response.writeHead(404).end();
    response.setHeader("Content-Type", kinds[kind]);
    response.end(readFileSync(path.join(root, "examples/pages", file)));
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function clock() {
  const [allowed, stranger] = [await pageElsewhere(), await pageElsewhere()];
  const server = await Server.start(example("clock"), FREE, "--every", "1s", "--origin", allowed);
  const slow = await Server.start(example("clock"), FREE, "--every", "5s");
  const opened = tabs(slow.url, 2); // while the others tick
  const pages = await tabs(server.url, 2);
  const from = (origin) => tab(`${origin}/clock.html?server=${server.ws}`);
  await check("clock: both tabs show the same tick at the same moment, each second", async () => {
    const { pairs, apart } = await sameMoments(...pages, 4);
    require(apart < 400, `${apart} ms apart`);
    // The first tick came while the tabs were opened, which keeps the machine busy.
    const times = pages[1].heard.slice(1).map(Date.parse);
    require(times.slice(1).every((time, i) => Math.abs(time - times[i] - 1000) < 200), `the ticks are ${pages[1].heard}`);
    const last = times.at(-1) - Date.now();
    require(Math.abs(last) < 2000, `the last tick is ${last} ms off`);
    return `${pairs.length} ticks, at most ${apart} ms apart`;
  });
  await check("clock: a page from an allowed origin gets the same ticks, and the list is shown", async () => {
    const page = await from(allowed);
    await state(page, "open");
    await shows(page, "#origin", allowed);
    await shows(pages[0], "#allowed", `its own pages, ${allowed}`);
    require(server.errors.includes(allowed), `the server has printed ${server.errors}`);
    const { apart } = await sameMoments(pages[0], page, 2);
    require(apart < 400, `${apart} ms apart`);
    require(page.errors.length === 0, page.errors.join("; "));
    await page.close();
  });
  await check("clock: a page from any other origin is refused with 403, and says so", async () => {
    const page = await from(stranger);
    await shows(page, "#problem", new RegExp(`refuses pages from ${stranger}.*--origin ${stranger} `));
    await shows(page, "#time", "no tick yet");
    require(page.errors.length && page.errors.every((text) => text.includes("403")), `the console says ${page.errors}`);
    require(!(await seen(page)).states.some(({ text }) => text === "open"), "it was open");
    await page.screenshot({ path: path.join(out, "apps/clock-refused.png") });
    await page.close();
  });
  await check("clock: a link that names no server is a page that says so", async () => {
    const wrong = ["", "garbage", "http://127.0.0.1:1/", "javascript:hacked=1", "ws://", "ws://127.0.0.1:99999/", "ws://127.0.0.1:1/#x"];
    await all(wrong, async (named) => {
      const page = await tab(`${server.url}?server=${encodeURIComponent(named)}`);
      await shows(page, "#problem", /^The link to this page does not name a valid server: ./);
      await state(page, "closed");
      require(page.errors.length === 0, `${named}: ${page.errors}`);
      await page.close();
    });
  });
  await check("clock --every 5s: a late page has no tick yet, then gets the next", async () => {
    const early = await opened;
    await until("tick", () => early[1].heard.length > 0);
    const before = early[1].heard.length;
    const late = await tab(slow.url);
    await state(late, "open");
    // The others may have heard a tick while it was opened.
    const heard = early[1].heard.length;
    await until("next tick", () => late.heard.length > 0);
    await until("next tick in the others", () => early.every((page) => page.heard.includes(late.heard[0])));
    const at = early[1].heard.indexOf(late.heard[0]);
    require(before <= at && at <= heard, `${late.heard} is not the next of ${early[1].heard} after ${before} to ${heard}`);
    const gap = Date.parse(late.heard[0]) - Date.parse(early[1].heard[at - 1]);
    require(Math.abs(gap - 5000) < 250, `${gap} ms between two ticks`);
    const { values } = await seen(late);
    require(values[0].text === "no tick yet" && late.heard[0].includes(values[1].text), `it has shown ${JSON.stringify(values)}`);
    await slow.signal("SIGKILL");
    await all([...early, late], (page) => page.close());
    return `${gap} ms after the one before`;
  });
  await everyPage("clock", server, pages, () => all(pages, async (page) => {
    const before = page.heard.length;
    await until("tick", () => page.heard.length > before);
  }));
}

async function ticker() {
  const server = await Server.start(example("ticker"), FREE, "--every", "1000");
  const pages = await tabs(server.url, 2);
  await check("ticker: says `no data yet`, then the same integers from 0 to 999 in all tabs at the same moment", async () => {
    const late = await tab(server.url);
    const { pairs, apart } = await sameMoments(...pages, 3);
    const third = await sameMoments(pages[0], late, 2);
    require(apart < 400 && third.apart < 400, `${apart} and ${third.apart} ms apart`);
    for (const page of [...pages, late]) {
      const [first, ...values] = (await seen(page)).values.map(({ text }) => text);
      require(first === "no data yet", `first it says ${first}`);
      require(values.length >= 2 && values.every((text) => /^(0|[1-9]\d{0,2})$/.test(text)), `then it says ${values}`);
    }
    const gaps = pairs.slice(1).map(([{ time }], i) => time - pairs[i][0].time);
    require(gaps.every((gap) => Math.abs(gap - 1000) < 400), `${gaps} ms between the values`);
    await late.close();
    return `${pairs.length} values, at most ${Math.max(apart, third.apart)} ms apart`;
  });
  await check("ticker --every 50: is smooth, at least 15 values a second in both tabs", async () => {
    const fast = await Server.start(example("ticker"), FREE, "--every", "50");
    const both = await tabs(fast.url, 2);
    const { pairs, apart } = await sameMoments(...both, 60);
    const rates = [0, 1].map((tab) => (pairs.length - 1) * 1000 / (pairs.at(-1)[tab].time - pairs[0][tab].time));
    const gap = Math.max(...pairs.slice(1).map(([{ time }], i) => time - pairs[i][0].time));
    require(Math.min(...rates) >= 15, `${rates} a second`);
    require(gap < 500 && apart < 400, `a gap of ${gap} ms, ${apart} ms apart`);
    await fast.signal("SIGKILL");
    await all(both, (page) => page.close());
    return `${rates.map((rate) => rate.toFixed(1)).join(" and ")} a second, gaps up to ${gap} ms, ${apart} ms apart`;
  });
  await everyPage("ticker", server, pages, () => all(pages, async (page) => {
    const before = page.heard.length;
    await until("value", () => page.heard.length > before);
  }));
}

async function chat() {
  const server = await Server.start(example("chat"), FREE);
  const pages = await tabs(server.url, 3);
  const [ann, bob, eve] = pages;
  const events = (page, name) => page.heard.map((text) => JSON.parse(text)).filter(({ event }) => event === name).map(({ data }) => data);
  const chosen = (page) => page.$eval("#to", (to) => to.value);
  const notes = (page, ...wanted) => lists(page, "#log li.quiet", ...wanted);
  await check("chat: each connection has an id of its own, and sees who has joined", async () => {
    await all(pages, (page) => until("welcome", () => events(page, "welcome").length === 1));
    const ids = pages.map((page) => events(page, "welcome")[0].id);
    require(new Set(ids).size === 3 && ids.every(Boolean), `the ids are ${ids}`);
    const guests = ids.map((id) => `Guest ${id}`);
    await notes(ann, `${guests[1]} has joined`, `${guests[2]} has joined`);
    await notes(bob, `${guests[2]} has joined`);
    await all(pages, (page) => shows(page, "#people", guests.join(", ")));
    return `ids ${ids.join(", ")}`;
  });
  await check("chat: a name is told to everybody", async () => {
    for (const [page, name] of [[ann, "Ann"], [bob, MARKUP], [eve, "Eve"]]) {
      await enter(page, "#name", name);
      await shows(page, "#me", name);
    }
    await all(pages, (page) => shows(page, "#people", `Ann, ${MARKUP}, Eve`));
  });
  await check("chat: others see who is typing, the writer does not, and the message clears it", async () => {
    await ann.fill("#text", "tea?");
    for (const page of [bob, eve]) await shows(page, "#typing", "Ann is typing…");
    await shows(ann, "#typing", "");
    require(events(ann, "typing").length === 0, "the writer is told");
    await ann.press("#text", "Enter");
    for (const page of pages) {
      await lists(page, "#log li.said", "Ann: tea?");
      require((await texts(page, "#typing")).join() === "", "somebody is typing, still");
    }
    require(pages.every((page) => events(page, "chat").length === 1), "a message came twice");
  });
  await check("chat: each name in a list has a direction of its own, and cannot turn others around", async () => {
    await lists(ann, "#people bdi", "Ann", MARKUP, "Eve");
    for (const name of ["\u202eevE", "\u200b", "\u2060\u2060"]) {
      const before = events(bob, "error").length;
      await enter(bob, "#name", name);
      await until("refusal", () => events(bob, "error").length === before + 1);
      await shows(bob, "#me", MARKUP);
    }
  });
  await check("chat: a message goes to everyone, the sender too; markup in it and in a name is text", async () => {
    await enter(bob, "#text", MARKUP);
    await enter(eve, "#text", LONG);
    for (const page of pages) {
      await until("three messages", async () => (await texts(page, "#log li.said")).length === 3);
      const found = (await texts(page, "#log li.said")).slice(1).toSorted();
      require(JSON.stringify(found) === JSON.stringify([`${MARKUP}: ${MARKUP}`, `Eve: ${LONG}`].toSorted()), `it shows ${found}`);
      await nothingInjected(page);
    }
  });
  const inRooms = async (page) => (await texts(page, "#log li.said")).slice(3);
  await check("chat: what is published to a room goes to those who have subscribed, until they leave it", async () => {
    for (const page of [bob, eve]) {
      await enter(page, "#room", "tea");
      await shows(page, "#rooms", "Leave #tea");
    }
    await enter(eve, "#text", "milk");
    await until("publish in the room", async () => (await inRooms(bob)).length === 1);
    await bob.click("#rooms button");
    await lists(bob, "#rooms button");
    await enter(eve, "#text", "sugar");
    await until("publish in the room", async () => (await inRooms(eve)).length === 2);
    // What everybody gets after it shows that nothing else is on its way.
    await enter(bob, "#text", "cake");
    const wanted = [[], ["#teaEve: milk"], ["#teaEve: milk", "#teaEve: sugar"]]; // with a gap by the style
    for (const [i, page] of pages.entries()) {
      await until("message to all", async () => (await inRooms(page)).at(-1) === `${MARKUP}: cake`);
      const found = (await inRooms(page)).slice(0, -1);
      require(JSON.stringify(found) === JSON.stringify(wanted[i]), `it shows ${found}`);
    }
  });
  await check("chat: that somebody types ends for those who do not get the text, too", async () => {
    for (const [end, why] of [
      [() => eve.selectOption("#to", "tea"), "the text is for a room"], [() => eve.fill("#text", ""), "there is no text"],
    ]) {
      await eve.selectOption("#to", "");
      await eve.fill("#text", "psst");
      await shows(ann, "#typing", "Eve is typing…");
      const start = Date.now();
      await end();
      await shows(ann, "#typing", "");
      require(Date.now() - start < 2000, `${why}: it took ${Date.now() - start} ms`);
    }
  });
  await check("chat: a room may be called by markup, too", async () => {
    await enter(ann, "#room", MARKUP);
    await shows(ann, "#rooms", `Leave #${MARKUP}`);
    await nothingInjected(ann);
    await ann.click("#rooms button");
    await lists(ann, "#rooms button");
  });
  await check("chat: everyone sees who has left", async () => {
    const guest = await tab(server.url);
    await until("welcome", () => events(guest, "welcome").length === 1);
    const name = `Guest ${events(guest, "welcome")[0].id}`;
    await all(pages, (page) => shows(page, "#count", "4"));
    await guest.close();
    for (const page of pages) {
      await shows(page, "#count", "3");
      require((await texts(page, "#log li.quiet")).at(-1) === `${name} has left`, "it is not in the log");
    }
  });
  await check("chat: a client that sends nonsense is told so, and disturbs nobody", async () => {
    const before = pages.map((page) => page.heard.length);
    const ws = await client(server.ws);
    const long = "x".repeat(2001);
    const nonsense = [
      "", "{", "null", "[]", "7", '{"event":7}', '{"event":"welcome","data":{}}', '{"event":"chat"}', `{"event":"chat","data":"${long}"}`,
      `{"event":"name","data":"${"x".repeat(33)}"}`, '{"event":"subscribe","data":{}}', '{"event":"publish","data":"tea"}', `${"[".repeat(5000)}`,
    ];
    for (const text of nonsense) ws.send(text);
    ws.send(Buffer.from([0xff, 0xfe]));
    await until("answers", () => ws.heard.length === nonsense.length + 2); // and the welcome
    const others = ws.heard.slice(1).filter((text) => JSON.parse(text).event !== "error");
    require(others.length === 0, `it is answered ${others}`);
    ws.close();
    await until("the end", () => pages.every((page, i) => page.heard.length === before[i] + 2));
    const told = ann.heard.slice(before[0]).map((text) => JSON.parse(text).event);
    require(told.join() === "joined,left", `the others are told ${told}`);
  });
  await check("chat: all that is said is JSON with `event` and `data`", async () => {
    const sent = (await all(pages, seen)).flatMap((page) => page.sent.map(({ data }) => data));
    const heard = pages.flatMap((page) => page.heard);
    const fits = (text) => Object.keys(JSON.parse(text)).sort().join() === "data,event";
    require(sent.length > 5 && [...sent, ...heard].every(fits), "something else was said");
    return `${sent.length} sent, ${heard.length} received`;
  });
  await check("chat: a room is chosen as one joins it", async () => {
    await enter(eve, "#room", "cake");
    await enter(bob, "#room", "cake");
    await shows(bob, "#rooms", "Leave #cake");
    await until("both rooms", async () => (await texts(eve, "#rooms button")).length === 2);
    require(await chosen(eve) === "cake" && await chosen(bob) === "cake", "it is not");
    await eve.selectOption("#to", "tea");
    await bob.selectOption("#to", "");
    await enter(ann, "#name", " "); // refused: it is not the name to come back with
    await until("refusal", () => events(ann, "error").length === 1);
  });
  await everyPage("chat", server, pages, async () => {
    // Names and rooms are taken again; who the next text goes to stays.
    const everybody = async (page) => (await texts(page, "#people"))[0].split(", ").sort().join() === `${MARKUP},Ann,Eve`;
    await all(pages, (page) => until("all the names", () => everybody(page)));
    const ws = await client(server.ws);
    await until("rooms", () => events(eve, "subscribed").length === 4 && events(bob, "subscribed").length === 3);
    require(await chosen(eve) === "tea" && await chosen(bob) === "" && await chosen(ann) === "", "another addressee is chosen");
    ws.send(JSON.stringify({ event: "publish", data: { room: "tea", text: "still here" } }));
    await until("publish", () => events(eve, "publish").at(-1)?.text === "still here");
    ws.close();
  });
}

async function im() {
  const server = await Server.start(example("im"), FREE);
  const pages = await tabs(server.url, 3);
  const [one, , three] = pages;
  const sent = [];
  // A tab writes; what all have shown so far is then as it should be.
  async function write(from, text) {
    sent.push({ from, text });
    await enter(from, "#message", text);
    for (const page of pages) {
      await lists(page, "#log li", ...sent.map(({ text }) => text));
      await lists(page, "#log li.mine", ...sent.filter(({ from }) => from === page).map(({ text }) => text));
      await lists(page, "#log li.theirs", ...sent.filter(({ from }) => from !== page).map(({ text }) => text));
    }
  }
  await check("im: a message goes to all but the sender, who shows its own at once, and once", async () => {
    await write(one, "Is anybody here?");
    require(one.heard.length === 0, `the sender is sent ${one.heard}`);
    await write(three, "Yes");
    require(three.heard.length === 1, `the sender is sent ${three.heard}`);
  });
  await check("im: markup is shown as text", async () => {
    await write(one, MARKUP);
    await write(three, LONG);
    await all(pages, nothingInjected);
  });
  await check("im: the server logs each message, on one line, with nothing in it that steers a terminal", async () => {
    const ws = await client(server.ws);
    ws.send("two\nlines\x1b[31m \"quoted\"");
    await all(pages, (page) => until("the message", () => page.heard.at(-1)?.includes("quoted")));
    await server.says(/^\d+: "two\\nlines\\u\{1b\}\[31m \\"quoted\\""$/m, "errors");
    for (const { text } of sent) require(server.errors.includes(`: "${text}"\n`), `${text} is not in the log`);
    require(!server.errors.includes("\x1b"), "an escape is in the log");
    ws.close();
  });
  await check("im: a message that is too long, or binary, closes the connection of its sender only", async () => {
    for (const [message, wanted] of [["x".repeat(1001), 1009], [Buffer.from("binary"), 1003]]) {
      const ws = await client(server.ws);
      ws.send(message);
      const [code] = await within(10, once(ws, "close"));
      require(code === wanted, `closed with ${code}`);
    }
    await all(pages, (page) => state(page, "open"));
    require(!one.heard.some((text) => text.startsWith("xxx")), "it was passed on");
  });
  await everyPage("im", server, pages, async () => {
    await enter(one, "#message", "Back again");
    await all(pages, (page) => until("the message", async () => (await texts(page, "#log li")).at(-1) === "Back again"));
  });
}

async function scheduler() {
  const server = await Server.start(example("scheduler"), FREE);
  const pages = await tabs(server.url, 3);
  const [ann, bob, phone] = pages;
  const names = (page) => texts(page, "#slots .name");
  const slot = (hour) => `#slots li[data-hour="${hour}"]`;
  const all8 = async (...pages) => { for (const page of pages) await until("8 slots", async () => (await names(page)).length === 8); };
  const everywhere = (hour, name, button) => all(pages, async (page) => {
    await shows(page, `${slot(hour)} .name`, name);
    await shows(page, `${slot(hour)} button`, button);
  });
  const put = (path, options) => fetch(server.url + path, { method: "PUT", signal: AbortSignal.timeout(5000), ...options });
  await all(pages, (page) => page.evaluate(() => { window.loaded = true; }));
  await check("scheduler: a booking, and its end, show in all three tabs", async () => {
    await all8(...pages);
    require((await names(ann)).every((name) => name === "free"), "not all is free");
    await ann.fill("#name", "Ann");
    await ann.click(`${slot(10)} button`);
    await everywhere(10, "Ann", "Cancel");
    await shows(ann, "#answer", "10:00 is booked for Ann");
    const labels = await bob.$$eval("#slots button", (found) => found.slice(0, 2).map((button) => button.ariaLabel));
    require(labels.join() === "Book 9:00,Cancel 10:00", `the buttons are called ${labels}`);
    await phone.fill("#name", MARKUP);
    await phone.click(`${slot(11)} button`);
    await everywhere(11, MARKUP, "Cancel");
    await all(pages, nothingInjected);
    await bob.click(`${slot(10)} button`);
    await everywhere(10, "free", "Book");
  });
  await check("scheduler: so does a PUT without a body, from no page", async () => {
    const socket = net.connect(server.address.split(":")[1], "127.0.0.1");
    socket.write(`PUT /slots/9/Ann HTTP/1.1\r\nHost: ${server.address}\r\n\r\n`);
    const [answer] = await within(10, once(socket.setEncoding("utf8"), "data"));
    require(/^HTTP\/1.1 200 /.test(answer), `the answer is ${answer}`);
    await everywhere(9, "Ann", "Cancel");
    const encoded = await put(`slots/12/${encodeURIComponent("Zoë & Co")}`);
    require(encoded.status === 200, `status ${encoded.status}`);
    await everywhere(12, "Zoë & Co", "Cancel");
  });
  await check("scheduler: a PUT that makes no sense, is late, or is of a page elsewhere changes nothing", async () => {
    const wanted = [
      ["slots/9/Bob", 409], ["slots/8/Bob", 404], ["slots/x/Bob", 404], ["slots/013/Bob", 404], ["slots/13", 400], ["slots/13/", 400],
      [`slots/13/${"x".repeat(33)}`, 400], ["slots/13/%ff", 400], ["slots/13/%zz", 400], ["slots/13/%0a", 400], ["ws", 405],
    ];
    for (const [path, status] of wanted) {
      const got = (await put(path)).status;
      require(got === status, `${path}: status ${got} instead of ${status}`);
    }
    const elsewhere = await put("slots/13/Bob", { headers: { Origin: "http://127.0.0.1:1" } });
    require(elsewhere.status === 403, `from elsewhere: status ${elsewhere.status}`);
    await everywhere(13, "free", "Book");
    await everywhere(9, "Ann", "Cancel");
  });
  await check("scheduler: a page that is late with a booking is told whose it is", async () => {
    await bob.fill("#name", "Bob");
    // While its script waits for the PUT, the page does not hear of it: the button still books.
    await bob.evaluate((button) => {
      const request = new XMLHttpRequest();
      request.open("PUT", "slots/14/Zoe", false);
      request.send();
      document.querySelector(button).click();
    }, `${slot(14)} button`);
    await shows(bob, "#answer", "14:00 is taken by Zoe");
    await everywhere(14, "Zoe", "Cancel");
    require((await seen(bob)).sent.at(-1).data === '{"event":"book","data":{"hour":14,"name":"Bob"}}', "it has not tried to book");
  });
  await check("scheduler: a page opened later gets the whole state, and no page was loaded anew", async () => {
    const late = await tab(server.url);
    await all8(late);
    const [own, others] = [await names(late), await names(ann)];
    require(own.join() === others.join(), `it shows ${own}, the others ${others}`);
    require(own.join() === `Ann,free,${MARKUP},Zoë & Co,free,Zoe,free,free`, `it shows ${own}`);
    await nothingInjected(late);
    await late.close();
    require((await all(pages, (page) => page.evaluate(() => window.loaded))).every(Boolean), "a page was loaded anew");
  });
  await check("scheduler: a client that sends nonsense is told so, and disturbs nobody", async () => {
    const before = ann.heard.length;
    const ws = await client(server.ws);
    const nonsense = [
      "", "{", "null", '{"event":"book"}', '{"event":"book","data":{"hour":-1,"name":"x"}}', '{"event":"book","data":{"hour":1e99,"name":"x"}}',
      '{"event":"cancel","data":{"hour":13}}',
    ];
    for (const text of nonsense) ws.send(text);
    await until("answers", () => ws.heard.length === nonsense.length + 1); // and the state
    require(ws.heard.slice(1).every((text) => JSON.parse(text).event === "error"), `it is answered ${ws.heard}`);
    ws.close();
    require(ann.heard.length === before, "the others are told");
  });
  await everyPage("scheduler", server, pages, async () => {
    await all(pages, (page) => until("a day without bookings", async () => (await names(page)).every((name) => name === "free")));
    await all(pages, (page) => shows(page, "#answer", "")); // what was answered holds no longer
    await ann.click(`${slot(16)} button`);
    await everywhere(16, "Ann", "Cancel");
  });
}

// What the state of a connection looks like and is to a screen reader, and that each field has a name.
async function readable(page) {
  const { role, nameless } = await page.evaluate(() => ({
    role: document.querySelector("#state").role,
    nameless: [...document.querySelectorAll("input, select")].filter((field) => !field.ariaLabel && !field.labels.length).length,
  }));
  require(role === "status" && nameless === 0, `the state's role is ${role}, ${nameless} fields have no name`);
}

async function echo() {
  const server = await Server.start(example("echo_server"), FREE);
  const pages = await tabs(server.url, 2);
  const [, phone] = pages;
  await check("echo: what is sent comes back, in its own tab only; markup is shown as text", async () => {
    for (const page of pages) {
      await enter(page, "#message", LONG + MARKUP);
      await lists(page, "#log li.received", LONG + MARKUP);
      await nothingInjected(page);
    }
  });
  await check("echo: the state can be read in the light and in the dark, open and closed", async () => {
    const all4 = [];
    for (const page of pages) all4.push(await contrast(page, "open"), await contrast(page, "closed"));
    require(Math.min(...all4) >= 4.5, `the contrasts are ${all4}`);
    return `contrasts ${all4.map((ratio) => ratio.toFixed(1)).join(", ")}`;
  });
  await check("echo: Close closes, and Connect connects again", async () => {
    const third = await tab(server.url, "phone");
    await state(third, "open");
    await third.click("#close");
    await lists(third, "#log li.close", "code 1000, clean");
    await third.click("#connect");
    await state(third, "open");
    await third.close();
  });
  await everyPage("echo", server, pages, async () => {
    await enter(phone, "#message", "back again");
    await until("echo", async () => (await texts(phone, "#log li.received")).at(-1) === "back again");
  });
}

// How much a state's colour differs from the page's (WCAG 2.2, 1.4.3).
function contrast(page, name) {
  return page.evaluate((name) => {
    const state = document.querySelector("#state");
    const before = state.className;
    state.className = name;
    state.style.backgroundColor = "canvas";
    const { color, backgroundColor } = getComputedStyle(state);
    const lights = [color, backgroundColor].map((rgb) => {
      const linear = rgb.match(/[\d.]+/g).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05;
    });
    state.className = before;
    state.style.backgroundColor = "";
    return Math.max(...lights) / Math.min(...lights);
  }, name);
}

async function demo() {
  const apps = ["echo", "greet", "clock", "ticker", "chat", "im", "scheduler", "push_vs_poll"];
  await check("demo: --self-check talks to each application and ends with status 0", async () => {
    const program = new Program(example("demo"), ["--self-check"]);
    require(await within(25, program.ended) === 0, `status ${program.status}: ${program.errors}`);
    const wanted = ["/", ...apps.map((name) => `/${name}`)].map((name) => `${name} is well\n`).join("");
    require(program.output === wanted, `it prints ${program.output}`);
  });
  const server = await Server.start(example("demo"), FREE);
  await check("demo: the links of the index page lead to pages that connect, and back", async () => {
    const page = await tab(server.url);
    const links = await page.$$eval("a", (found) => found.map((link) => link.getAttribute("href")));
    require(links.join() === apps.map((name) => `${name}/`).join(), `the links are ${links}`);
    for (const link of links) {
      await page.click(`a[href="${link}"]`);
      await page.waitForURL(server.url + link);
      await state(page, "open");
      await readable(page);
      await page.goBack();
      await page.waitForURL(server.url);
    }
    require(page.errors.length === 0, page.errors.join("; "));
    await page.close();
    return `${links.length} links`;
  });
  await check("demo: the index page looks right on a phone in the dark, and beside it", async () => {
    const both = [await tab(server.url), await tab(server.url, "phone")];
    const how = await looks("demo", both);
    await all(both, (page) => page.close());
    return how;
  });
  await check("demo: an application without a slash is found, and nothing else is", async () => {
    for (const [path, wanted] of [["chat", 200], ["chat/none", 404], ["chats", 404], ["%2e%2e/Cargo.toml", 404], ["chat/ws", 426]]) {
      const { status } = await fetch(server.url + path);
      require(status === wanted, `/${path}: status ${status} instead of ${wanted}`);
    }
  });
  await check("demo: the echo page shows the code and the reason of a close by the server", async () => {
    // The index page's WebSocket closes at once.
    const page = await tab(`${server.url}echo/#server=${server.ws}`);
    await until("close", async () => (await texts(page, "#log li.close"))[0] === "code 1000, clean (each application has its own)");
    await page.close();
  });
  await check("demo: push_vs_poll shows what was measured, the same in both tabs", async () => {
    const both = await tabs(`${server.url}push_vs_poll/`, 2);
    await all(both, (page) => until("measurement", () => page.heard.length === 1, 20));
    const { count, polls, pushes } = JSON.parse(both[0].heard[0]);
    require(count === 600 && both[1].heard[0] === both[0].heard[0], `measured are ${both.map((page) => page.heard)}`);
    const cells = (bytes) => [...bytes.map((n) => n.toLocaleString("en")), ((bytes[0] + bytes[1]) / count).toFixed(1)];
    await all(both, (page) => lists(page, "#rows td", ...cells(polls), ...cells(pushes)));
    require(polls[0] + polls[1] > 10 * (pushes[0] + pushes[1]), "to poll should take more");
    await looks("push_vs_poll", both);
    await all(both, (page) => page.close());
    return `${polls} and ${pushes} bytes`;
  });
  await check("demo: Ctrl-C closes the page of every application with 1001, clean, and ends it with status 0", async () => {
    const pages = [];
    for (const name of apps) pages.push(await tab(`${server.url}${name}/`));
    await all(pages, (page) => state(page, "open"));
    const took = await closesAll(server, pages);
    await all(pages, (page) => page.close());
    return `${pages.length} pages, ${took}`;
  });
}

const rows = { echo, greet, clock, ticker, chat, im, scheduler, ...commands, demo };
const wanted = process.argv.slice(2);
for (const name of wanted.filter((name) => !rows[name])) {
  console.error(`unknown: ${name} (${Object.keys(rows).join(", ")})`);
  process.exit(2);
}
example("demo");
await run(async (browser) => {
  await useBrowser(browser);
  for (const name of wanted.length ? wanted : Object.keys(rows)) await rows[name]();
});
