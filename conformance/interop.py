"""Other implementations and our example program `ws`, each of them at either end; conformance/interop runs this.

The programs in peers/interop are remote-controlled, so that all of them are tested by the same checks. They read one
command per line, and print one event per line. Bytes are hexadecimal, and `-` is nothing.

  command                              what the program does
  connect PORT SUBPROTOCOLS deflate    a client connects, and offers permessage-deflate; `plain`: it does not
  text BYTES...                        sends a message; several BYTES are its fragments
  binary BYTES...
  ping BYTES
  close CODE REASON
  raw BYTES                            writes these bytes to the stream, as they are

  event                                what has happened
  listening PORT                       a server listens; it speaks the subprotocol `chat`, and permessage-deflate
  open PATH SUBPROTOCOL
  text BYTES, binary BYTES             a message has arrived
  pong BYTES
  closed CODE REASON                   the Close frame that we sent; 1006 without one, `?` for what the API does not tell
  error TEXT
"""
import functools
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE / "peers")]

import raw
import tap
from harness import OUT, PYTHON, Checks, Process, Server, example, require, stop_at_exit
from shared import MIB, varied

PEERS = HERE / "peers" / "interop"
BUILT = OUT / "interop"
JARS = ":".join("/usr/share/java/%s.jar" % name for name in (
    "jetty9-client", "jetty9-http", "jetty9-io", "jetty9-server", "jetty9-servlet", "jetty9-util", "jetty9-websocket-api",
    "jetty9-websocket-client", "jetty9-websocket-common", "jetty9-websocket-server", "jetty9-websocket-servlet", "servlet-api"))
# The length of our fragments.
FRAGMENT = 10000
SIZES = [0, 1, 125, 126, 65535, 65536, MIB]
SECONDS = 20


def python(name):
    return [PYTHON, str(PEERS / (name + "_peer.py"))]


def gorilla():
    program = str(BUILT / "gorilla_peer")
    run(["env", "GO111MODULE=off", "GOPATH=/usr/share/gocode", "go", "build", "-o", program, str(PEERS / "gorilla_peer.go")])
    return [program]


def libwebsockets():
    program = str(BUILT / "libwebsockets_peer")
    run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, str(PEERS / "libwebsockets_peer.c"), "-lwebsockets", "-lpthread"])
    return [program]


def java(name):
    path = "%s:%s" % (BUILT, JARS)
    run(["javac", "-d", str(BUILT), "-cp", path, str(PEERS / "Remote.java"), str(PEERS / (name + ".java"))])
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", path, name]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    require(done.returncode == 0, "%s: %s" % (command[0], (done.stdout + done.stderr).strip()[-300:]))


# How each program is built and started, and what its API does not allow.
COMMANDS = {
    "aiohttp": functools.partial(python, "aiohttp"),
    "tornado": functools.partial(python, "tornado"),
    "wsproto": functools.partial(python, "wsproto"),
    "gorilla": gorilla,
    "libwebsockets": libwebsockets,
    "jdk": functools.partial(java, "JdkPeer"),
    "jetty": functools.partial(java, "JettyPeer"),
}
WITHOUT = {
    ("aiohttp", "fragments"): "its API sends whole messages only",
    ("jdk", "server"): "it is only a client",
    ("jdk", "raw"): "its API does not send what the protocol forbids",
    ("jdk", "deflate"): "it does not know the extension",
}
# What these versions do wrong, so that a check makes way for it.
# A server does not report an empty Pong.
NO_EMPTY_PONG = [("libwebsockets", "server")]
# Once compression was agreed on, a client reads a message that is not compressed again and again
# (warmcat/libwebsockets#2794). Ours compresses no message of less than 64 bytes, and none that would not become shorter.
COMPRESSED_ONLY = [("libwebsockets", "client")]
# A client that is told client_no_context_takeover goes on, because it takes that for the server's direction. Ours tells it
# a client that cannot limit its window, except with the largest window.
LARGEST_WINDOW = [("jetty", "client")]


class Peer(Process):
    """One of the programs. It is started again after a check that has failed."""

    def __init__(self, command, name, role):
        super().__init__([*command, role], "interop.%s.%s" % (name, role))
        self.name, self.role = name, role
        self.port = int(self.expect("listening")[0]) if role == "server" else None

    def known(self, faults):
        return (self.name, self.role) in faults

    def tell(self, *words):
        self.child.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.child.stdin.flush()

    def expect(self, kind):
        """Returns the words of the next event, which has to be of this kind."""
        line = self.line(SECONDS)
        require(line is not None, "the program has ended: " + self.stderr()[-300:])
        found, *words = line.split()
        require(found == kind, "%r instead of %s; %s" % (line[:200], kind, self.stderr()[-300:]))
        return words


class Session:
    """A connection between a program and ours: `ws serve --echo`, or `ws connect`. A relay keeps its bytes."""

    def __init__(self, peer, subprotocols="-", deflate=False, options=()):
        self.peer, self.role = peer, peer.role
        options = ["--trace", *(["--deflate"] if deflate else []), *options]
        program = example("ws")
        name = "interop.ws." + peer.name
        self.ours = self.relay = None
        try:
            if self.role == "client":
                self.ours = Process([program, "serve", "127.0.0.1:0", "--echo", *options], name, stdin=subprocess.DEVNULL)
                address = re.match(r"listening on ws://(127\.0\.0\.1):(\d+)$", self.ours.line(SECONDS) or "")
                require(address, "our server does not start: " + self.ours.stderr()[-300:])
                self.relay = tap.Tap((address[1], int(address[2])))
                peer.tell("connect", self.relay.port, subprotocols, "deflate" if deflate else "plain")
            else:
                self.relay = tap.Tap(("127.0.0.1", peer.port))
                self.ours = Process([program, "connect", "ws://127.0.0.1:%d/path" % self.relay.port, "--stay", *options], name)
            self.path, self.subprotocol = peer.expect("open")
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.ours:
            self.ours.stop()
        if self.relay:
            self.relay.listener.close()

    def says(self, pattern):
        """Waits until our program has written this to standard error."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.ours.stderr())):
            require(time.monotonic() < deadline, "ours does not say %r: %s" % (pattern, self.ours.stderr()[-300:]))
            time.sleep(0.01)
        return found

    def exchange(self, kind, messages, count=1):
        """Each message goes to our program in `count` fragments, and comes back, or goes the other way, too."""
        for data in messages:
            self.peer.tell(kind, *map(to_hex, pieces(data, count)))
        for data in messages:
            line = self.ours.line(SECONDS)
            require(line is not None, "ours has ended: " + self.ours.stderr()[-300:])
            # Our server prints the client's address first.
            require(self.role == "server" or line.startswith("127.0.0.1:"), "ours prints %r" % line[:100])
            line = line if self.role == "server" else line.split(": ", 1)[1]
            shown = data.decode() if kind == "text" else "binary: " + data.hex()
            require(line == shown, "ours received %r instead of %r" % (line[:100], shown[:100]))
        if self.role == "server":
            for data in messages:
                self.ours.child.stdin.write((data if kind == "text" else data.hex().encode()) + b"\n")
                self.ours.child.stdin.flush()
        for data in messages:
            words = self.peer.expect(kind)
            require(words == [to_hex(data)], "it received %r instead of %d bytes" % (words[0][:100], len(data)))

    def close(self, code=1000, reason=""):
        """The program closes the connection. Returns the bytes that ours has sent, and those that the program has."""
        self.peer.tell("close", code, to_hex(reason.encode()))
        self.says(r'< close, \d+ bytes: %d "%s"' % (code, re.escape(reason)))
        found, said = self.peer.expect("closed")
        require(found in (str(code), "?") and said in ("-", "?", to_hex(reason.encode())), "it received Close %s %s" % (found, said))
        if self.role == "server":
            status = self.ours.child.wait(SECONDS)
            require(status == (0 if code in (1000, 1001) else 1), "the status of ours is %d" % status)
        else:
            require(self.ours.alive(), "our server has ended")
        client, server = self.relay.stop()
        ours, its = (server, client) if self.role == "client" else (client, server)
        [answer] = [payload for _, _, opcode, payload in tap.frames(ours) if opcode == tap.CLOSE]
        require(answer[:2] == code.to_bytes(2, "big"), "we answered Close %r" % answer)
        return ours, its


def to_hex(data):
    return data.hex() or "-"


def pieces(data, count):
    """Pieces of about the same size. A text is not cut within a character."""
    cuts = [0]
    for i in range(1, count):
        at = len(data) * i // count
        while 0 < at < len(data) and data[at] & 0xc0 == 0x80:
            at -= 1
        cuts.append(max(at, cuts[-1]))
    return [data[start:end] for start, end in zip(cuts, [*cuts[1:], len(data)])]


def sample(kind, size):
    data = varied(kind, size)
    return data.encode() if kind == "text" else data


def of_kind(kind, peer):
    """The options with which our client sends messages of this kind. Our server needs none."""
    return ["--binary"] if kind == "binary" and peer.role == "server" else []


def messages(peer, kind, sizes=SIZES):
    with Session(peer, options=of_kind(kind, peer)) as session:
        require(session.subprotocol == "-", "subprotocol %s" % session.subprotocol)
        require(session.path == ("/path" if peer.role == "server" else "/"), "path %s" % session.path)
        for size in sizes:
            session.exchange(kind, [sample(kind, size)])
        session.exchange(kind, [sample(kind, size) for size in range(100)])
        session.close()


def fragments(peer, kind):
    with Session(peer, options=of_kind(kind, peer)) as session:
        for size, count in ((6000, 3), (65536, 7), (MIB, 100)):
            session.exchange(kind, [sample(kind, size)], count)
        _, its = session.close()
        parts = [opcode for _, _, opcode, _ in tap.frames(its)]
        require(parts.count(tap.CONTINUATION) >= 2 + 6 + 99, "only %d fragments" % parts.count(tap.CONTINUATION))
        return "%d frames" % len(parts)


def our_fragments(peer, deflate=False):
    """Fragments of `echo_server` and `echo_client`. Peers that validate each of them need text to be cut between characters."""
    options = ["--fragment", str(FRAGMENT)]
    sizes = [size for size in SIZES if size >= 64 or not (deflate and peer.known(COMPRESSED_ONLY))]
    if deflate:
        options += ["--deflate-window", "15"] if peer.known(LARGEST_WINDOW) else ["--deflate"]
    ours = None
    try:
        if peer.role == "client":
            ours = Server(example("echo_server"), *options, name="interop.echo_server")
            relay = tap.Tap(ours.address)
            peer.tell("connect", relay.port, "-", "deflate" if deflate else "plain")
        else:
            relay = tap.Tap(("127.0.0.1", peer.port))
            ours = Process([example("echo_client"), *options, "ws://127.0.0.1:%d/" % relay.port], "interop.echo_client")
        peer.expect("open")
        for size in sizes:
            data = sample("text", size)
            if peer.role == "client":
                peer.tell("text", to_hex(data))
            else:
                ours.child.stdin.write(data + b"\n")
                ours.child.stdin.flush()
            words = peer.expect("text")
            require(words == [to_hex(data)], "it received %r instead of %d bytes" % (words[0][:100], size))
            if peer.role == "server":
                peer.tell("text", to_hex(b"%d" % size))
                require(ours.line(SECONDS) == str(size), "ours received another reply: " + ours.stderr()[-300:])
        if peer.role == "client":
            peer.tell("close", 1000, "-")
        else:
            ours.child.stdin.close()
        require(peer.expect("closed")[0] in ("1000", "?"), "another close code")
        sent = relay.stop()[peer.role == "client"]
    finally:
        if ours:
            ours.stop()
    found = tap.messages(sent)
    require(len(found) == len(sizes), "%d messages" % len(found))
    if deflate:
        require(all(compressed for (compressed, _), size in zip(found, sizes) if size >= 1024), "not compressed")
    frames = [opcode for _, _, opcode, _ in tap.frames(sent) if opcode < tap.CLOSE]
    least = sum(size // FRAGMENT for size in sizes)
    require(len(frames) >= least, "%d frames" % len(frames))
    return "%d frames for %d messages" % (len(frames), len(found))


def pings(peer):
    """In both directions, between messages."""
    with Session(peer, options=["--ping-interval", "100ms"]) as session:
        for size in (1, 125) if peer.known(NO_EMPTY_PONG) else (0, 1, 125):
            data = sample("binary", size)
            peer.tell("ping", to_hex(data))
            words = peer.expect("pong")
            require(words == [to_hex(data)], "the pong has %r" % words)
            session.exchange("text", [b"between"])
        session.says(r"(?s)(< pong.*?){3}")
        session.exchange("text", [b"still open"])
        session.close()


def close_of_peer(peer, code, reason):
    with Session(peer) as session:
        session.exchange("text", [b"hello"])
        session.close(code, reason)


def close_of_ours(peer):
    """Ctrl-C closes our server with 1001, and our client with 1000."""
    with Session(peer) as session:
        session.exchange("text", [b"hello"])
        session.ours.child.send_signal(signal.SIGINT)
        code = 1001 if peer.role == "client" else 1000
        words = peer.expect("closed")
        require(words[0] == str(code), "it received Close %s" % words)
        session.says("< close, ")  # aiohttp answers with 1000
        status = session.ours.child.wait(SECONDS)
        require(status == 0, "the status of ours is %d" % status)


def subprotocol(peer):
    ours = ["--protocol", "chat"] if peer.role == "client" else ["--protocol", "superchat", "--protocol", "chat"]
    with Session(peer, "superchat,chat", options=ours) as session:
        require(session.subprotocol == "chat", "subprotocol %s" % session.subprotocol)
        if peer.role == "server":
            session.says("open, subprotocol chat")
        session.exchange("text", [b"hello"])
        session.close()


def refused(peer, code, options, *command):
    """Our program ends the connection, and the other one sees the code and the reason."""
    with Session(peer, options=options) as session:
        session.exchange("text", [b"hello"])
        peer.tell(*command)
        found, reason = peer.expect("closed")
        sent = session.says(r'> close, \d+ bytes: (\d+) "(.+)"')
        require(sent[1] == str(code), "we sent Close " + sent[1])
        require(found == str(code), "it received Close %s" % found)
        if reason != "?":
            reason = bytes.fromhex(reason.replace("-", "")).decode()
            require(reason == sent[2], "it received the reason %r instead of %r" % (reason, sent[2]))
        if peer.role == "server":
            require(session.ours.child.wait(SECONDS) == 1, "the status of our client is not 1")
        return "%d %s" % (code, reason)


def too_long(peer):
    return refused(peer, 1009, ["--max-message", "1000"], "text", to_hex(sample("text", 1001)))


def bad_input(peer, code, frame):
    return refused(peer, code, [], "raw", to_hex(frame(peer.role == "client")))


def deflate(peer):
    payloads = [0, 0]
    kinds, sizes = ("text", "binary"), SIZES
    if peer.known(COMPRESSED_ONLY):
        kinds, sizes = ("text",), [size for size in SIZES if size >= 64]
    window = ["--deflate-window", "15"] if peer.known(LARGEST_WINDOW) else []
    for kind in kinds:
        with Session(peer, deflate=True, options=of_kind(kind, peer) + window) as session:
            for size in sizes:
                session.exchange(kind, [sample(kind, size)])
            ours, its = session.close()
            agreed = tap.Agreed(ours if peer.role == "client" else its)
            for i, (sender, data) in enumerate((("we", ours), ("it", its))):
                found = tap.messages(data)
                require(len(found) == len(sizes), "%s sent %d messages" % (sender, len(found)))
                for (small, _), size in zip(found, sizes):
                    require(small or size < 1024, "%s sent %d bytes uncompressed" % (sender, size))
                payloads[i] += sum(len(payload) for _, payload in found)
    ratios = [payload / (len(kinds) * sum(sizes)) for payload in payloads]
    require(max(ratios) < 0.7, "ratios %s" % ratios)
    return "%s; ratio of ours %.3f, of its %.3f" % (agreed.text, *ratios)


CHECKS = [("%s of 0 bytes to 1 MiB" % kind, messages, kind) for kind in ("text", "binary")]
CHECKS += [("%s in fragments" % kind, fragments, kind) for kind in ("text", "binary")]
CHECKS += [("our fragments", our_fragments), ("our fragments, compressed", our_fragments, True)]
CHECKS += [("pings in both directions", pings)]
CHECKS += [("it closes with %d and a reason of %d bytes" % (code, len(reason.encode())), close_of_peer, code, reason)
           for code, reason in ((1000, "goodbye, ünïcödé"), (1001, "x" * 123), (3000, ""), (4999, "private"))]
CHECKS += [
    ("we close", close_of_ours),
    ("a subprotocol", subprotocol),
    ("a message that is too long", too_long),
    ("bad input: a reserved opcode", bad_input, 1002, lambda masked: raw.frame(3, b"x", mask=masked)),
    ("bad input: the other role's masking", bad_input, 1002, lambda masked: raw.frame(raw.TEXT, b"x", mask=not masked)),
    ("bad input: text that is not UTF-8", bad_input, 1007, lambda masked: raw.frame(raw.TEXT, b"\xff", mask=masked)),
    ("permessage-deflate", deflate),
]


def needs(check, arguments):
    """What the API of the program has to allow for this check."""
    if check is our_fragments and arguments:
        return "deflate"
    return {fragments: "fragments", bad_input: "raw", deflate: "deflate"}.get(check)


def stack(checks, name):
    try:
        if name not in ("aiohttp", "tornado", "wsproto"):
            run([str(HERE / "setup"), name])
        command = COMMANDS[name]()
    except Exception as error:
        checks.record("%s could not be installed or built" % name, "FAIL", 0, error)
        return
    for role in ("client", "server"):
        if (name, role) in WITHOUT:
            checks.record("%s %s" % (name, role), "not run", 0, WITHOUT[name, role])
            continue
        peer = None
        try:
            for what, check, *arguments in CHECKS:
                text = "%s %s: %s" % (name, role, what)
                if (name, needs(check, arguments)) in WITHOUT:
                    checks.record(text, "not run", 0, WITHOUT[name, needs(check, arguments)])
                    continue
                if peer is None:
                    peer = Peer(command, name, role)
                if not checks.run(text, check, peer, *arguments):
                    peer.stop()
                    peer = None
        except Exception as error:
            checks.record("%s %s could not start" % (name, role), "FAIL", 0, error)
        finally:
            if peer:
                peer.stop()


def main():
    names = sys.argv[1:] or list(COMMANDS)
    for name in names:
        if name not in COMMANDS:
            sys.exit("interop: there is nothing named %s; the names are %s" % (name, " ".join(COMMANDS)))
    stop_at_exit()
    BUILT.mkdir(parents=True, exist_ok=True)
    checks = Checks()
    for name in names:
        stack(checks, name)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
