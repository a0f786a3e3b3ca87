// What a client of Socket.IO does in Node and in Chromium alike, against examples/embed/socketio/tools/checks.rs. Each
// scenario gets `connect(options, namespace)`, and throws when something is not as it should be.

globalThis.scenarios = (() => {
  const COUNT = 1000;
  const numbers = (count) => Array.from({ length: count }, (_, i) => i);
  const require = (condition, message) => { if (!condition) throw new Error(message); };
  const same = (found, wanted) => require(
    JSON.stringify(found) === JSON.stringify(wanted), `${JSON.stringify(found)?.slice(0, 200)} instead of ${JSON.stringify(wanted)?.slice(0, 200)}`,
  );
  // The arguments of the next event.
  const next = (socket, event, seconds = 10) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within ${seconds} s`)), seconds * 1000);
    socket.once(event, (...args) => { clearTimeout(timer); resolve(args); });
  });
  const ask = (socket, event, ...args) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no acknowledgement of ${event}`)), 10000);
    socket.emit(event, ...args, (...answer) => { clearTimeout(timer); resolve(answer); });
  });
  // So many events, from now on.
  const collect = (socket, event, count) => new Promise((resolve, reject) => {
    const found = [];
    const timer = setTimeout(() => reject(new Error(`${found.length} of ${count} events ${event}`)), 20000);
    socket.on(event, (...args) => {
      found.push(args);
      if (found.length === count) { clearTimeout(timer); resolve(found); }
    });
  });
  const open = async (connect, count = 1, namespace = "/", options = {}) => {
    const sockets = numbers(count).map(() => connect(options, namespace));
    await Promise.all(sockets.map((socket) => next(socket, "connect")));
    return sockets;
  };
  // That nothing more is on its way: an acknowledgement comes behind it.
  const settled = (...sockets) => Promise.all(sockets.map((socket) => ask(socket, "ack")));
  const bytes = (data) => new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  const sameBytes = (found, wanted) => {
    const [a, b] = [bytes(found), bytes(wanted)];
    require(a.length === b.length && a.every((byte, i) => byte === b[i]), `other bytes: ${a.length}, not ${b.length}`);
  };
  const until = async (what, done, seconds = 10) => {
    for (const end = Date.now() + seconds * 1000; !done(); await new Promise((wake) => setTimeout(wake, 10))) {
      require(Date.now() < end, `no ${what} within ${seconds} s`);
    }
  };

  return {
    async "connects, and the transport is the one that was asked for"(connect, transports) {
      const [socket] = await open(connect);
      require(/^[\w-]{20}$/.test(socket.id), `the id is ${socket.id}`);
      const wanted = transports?.at(-1) ?? "websocket";
      await until(wanted, () => socket.io.engine.transport.name === wanted);
    },

    async "1,000 events each way, in order"(connect) {
      const [socket] = await open(connect);
      const [back, down] = [collect(socket, "echo", COUNT), collect(socket, "number", COUNT)];
      socket.emit("count", COUNT);
      for (const i of numbers(COUNT)) socket.emit("echo", i, { text: "€".repeat(i % 10) });
      same(await down, numbers(COUNT).map((i) => [i]));
      same(await back, numbers(COUNT).map((i) => [i, { text: "€".repeat(i % 10) }]));
    },

    async "1,000 events one by one, while the transport changes"(connect) {
      const [socket] = await open(connect);
      const back = collect(socket, "echo", COUNT);
      for (const i of numbers(COUNT)) {
        socket.emit("echo", i);
        if (i % 20 === 0) await new Promise((wake) => setTimeout(wake, 1));
      }
      same(await back, numbers(COUNT).map((i) => [i]));
    },

    async "acknowledgements both ways"(connect) {
      const [socket] = await open(connect);
      socket.on("question", (number, answer) => answer(number * 2, { of: number }));
      const answers = collect(socket, "answered", 10);
      socket.emit("ask", 10);
      const mine = await Promise.all(numbers(10).map((i) => ask(socket, "ack", i, ["x"])));
      same(mine, numbers(10).map((i) => [i, ["x"]]));
      same(await ask(socket, "ack"), []);
      same((await answers).sort(([a], [b]) => a - b), numbers(10).map((i) => [i * 2, { of: i }]));
    },

    async "binary data of 1 MiB, at any depth, in events and acknowledgements"(connect) {
      const [socket] = await open(connect);
      const data = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 7) ^ (i >> 8));
      const echo = next(socket, "echo");
      socket.emit("echo", "text", data, { deep: [{ data: data.slice(0, 3) }] });
      const [text, whole, { deep }] = await echo;
      same(text, "text");
      sameBytes(whole, data);
      sameBytes(deep[0].data, data.slice(0, 3));
      sameBytes((await ask(socket, "ack", data))[0], data);
      const empty = next(socket, "echo");
      socket.emit("echo", new Uint8Array(0));
      sameBytes((await empty)[0], new Uint8Array(0));
    },

    async "rooms: those in it, the others in it, nobody who has left"(connect) {
      const sockets = await open(connect, 3);
      const room = `room ${sockets[0].id}`;
      const heard = sockets.map(() => []);
      sockets.forEach((socket, i) => socket.on("room", (_, text) => heard[i].push(text)));
      const [a, b, c] = sockets;
      await Promise.all([ask(a, "join", room), ask(b, "join", room)]);
      a.emit("room", room, "to all");
      await settled(a);
      b.emit("others in room", room, "to others");
      await settled(b);
      c.emit("others in room", room, "from outside");
      await settled(c);
      await ask(b, "leave", room);
      c.emit("room", room, "to the last");
      await settled(c);
      c.emit("room", a.id, "to one");
      await settled(c);
      await settled(a, b, c);
      await until("room events", () => heard[0].length === 5 && heard[1].length === 2);
      same(heard, [["to all", "to others", "from outside", "to the last", "to one"], ["to all", "from outside"], []]);
    },

    async "broadcast to all, and to all but the sender"(connect, transports, tag) {
      const sockets = await open(connect, 3);
      const heard = sockets.map(() => []);
      for (const event of ["all", "others"]) {
        sockets.forEach((socket, i) => socket.on(event, (from, text) => from === tag && heard[i].push(text)));
      }
      sockets[0].emit("all", tag, "a");
      await settled(sockets[0]);
      sockets[1].emit("others", tag, "b");
      await settled(sockets[1]);
      sockets[2].emit("all", tag, "c");
      await until("events", () => heard.every((list) => list.at(-1) === "c"));
      same(heard, [["a", "b", "c"], ["a", "c"], ["a", "b", "c"]]);
    },

    async "namespaces share a connection, with a payload of their own"(connect) {
      const main = connect({ forceNew: true });
      const named = main.io.socket("/named", { auth: { token: "€" } });
      named.connect();
      const auth = next(named, "auth");
      await Promise.all([main, named].map((socket) => next(socket, "connect")));
      same(await auth, [{ token: "€" }]);
      require(main.id !== named.id, "the ids are the same");
      const heard = [];
      main.on("echo", (text) => heard.push(`main ${text}`));
      named.on("echo", (text) => heard.push(`named ${text}`));
      named.emit("echo", 1);
      main.emit("echo", 2);
      named.emit("echo", 3);
      await until("echoes", () => heard.length === 3);
      same(heard, ["named 1", "main 2", "named 3"]);
      named.disconnect();
      same(await ask(main, "ack", "still there"), ["still there"]);
    },

    async "refused namespaces: unknown, and not authorized"(connect) {
      const unknown = connect({}, "/unknown");
      const [error] = await next(unknown, "connect_error");
      same([error.message, error.data ?? null, unknown.connected], ["Invalid namespace", null, false]);
      const [why] = await next(connect({ auth: { token: "wrong" } }, "/secret"), "connect_error");
      same([why.message, why.data], ["not authorized", { code: 42 }]);
      const secret = connect({ auth: { token: "open" } }, "/secret");
      await next(secret, "connect");
    },

    async "disconnect by the client, of which the server says why"(connect) {
      const [socket, other] = await open(connect, 2);
      const { id } = socket;
      const heard = [];
      for (const event of ["connect", "disconnect", "gone"]) other.on(event, (...args) => heard.push([event, ...args]));
      const gone = () => heard.find(([event, who]) => event === "gone" && who === id);
      const reason = next(socket, "disconnect");
      socket.disconnect();
      same((await reason)[0], "io client disconnect");
      await until("news of that", gone).catch((error) => { throw new Error(`${error.message}: ${JSON.stringify([id, heard])}`); });
      const [, , why] = gone();
      require(["client namespace disconnect", "transport close"].includes(why), why);
    },

    async "disconnect by the server, from a namespace and as a whole"(connect) {
      const [socket, other] = await open(connect, 2);
      let reason = next(socket, "disconnect");
      socket.emit("disconnect me");
      socket.emit("echo", "too late");
      same((await reason)[0], "io server disconnect");
      same(socket.connected, false);
      const [closed] = await open(connect);
      const named = closed.io.socket("/named", {}); // another namespace of the same connection ends, too
      await next(named, "connect");
      const namedEnd = next(named, "disconnect");
      const [last, end] = [collect(closed, "last", 12), next(closed, "disconnect")];
      const words = "words".repeat(200000);
      closed.emit("close me", words);
      require((await last).every(([text]) => text === words), "other words");
      same([(await end)[0], (await namedEnd)[0]], ["io server disconnect", "io server disconnect"]);
      same([closed.active, named.active], [false, false]); // neither connects again by itself
      same(await ask(other, "ack", 1), [1]);
    },

    async "a namespace that the server ends leaves the others alone"(connect) {
      const main = connect({ forceNew: true });
      const named = main.io.socket("/named", {});
      named.connect();
      await Promise.all([main, named].map((socket) => next(socket, "connect")));
      const reason = next(named, "disconnect");
      named.emit("disconnect me");
      for (const i of numbers(5)) named.emit("echo", i); // on their way meanwhile
      same((await reason)[0], "io server disconnect");
      same(await ask(main, "ack", "still there"), ["still there"]);
      named.connect();
      await next(named, "connect");
      same(await ask(named, "ack", "again"), ["again"]);
    },

    async "a handler that panics, and a message over the limit, end one client"(connect) {
      for (const event of [["panic"], ["echo", "x".repeat(5 << 20)]]) {
        const [socket] = await open(connect, 1, "/", { reconnection: false });
        const [other] = await open(connect);
        const reason = next(socket, "disconnect");
        socket.emit(...event);
        const [why] = await reason;
        require(["transport close", "transport error"].includes(why), why);
        same(await ask(other, "ack", 1), [1]);
      }
    },
  };
})();

// A socket through all that becomes of the server.
globalThis.kept = {
  async open(connect) {
    const socket = connect({ reconnectionDelay: 100, reconnectionDelayMax: 300, timeout: 2000 });
    const log = [];
    globalThis.keptSocket = { socket, log };
    socket.on("connect", () => log.push("connect"));
    socket.on("disconnect", (reason) => log.push(reason));
  },
};
