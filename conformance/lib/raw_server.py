"""The echo client against servers that refuse, break rules, or are no WebSocket servers."""
import base64
import contextlib
import re
import socket
import struct
import threading

from harness import Failed, NotRun, Run, closed_port, describe, require
from raw import CLOSE, PING, PONG, TEXT, Wire, accept_key, frame


@contextlib.contextmanager
def serving(script):
    """A server that runs `script(wire)` for one connection; what the script raises, the check raises."""
    outcome = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(15)

        def serve():
            try:
                with Wire(listener.accept()[0]) as wire:
                    script(wire)
            except Exception as error:
                outcome.append(error)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield "ws://127.0.0.1:%d/chat?room=1" % listener.getsockname()[1]
        except Failed as error:
            thread.join(2)
            raise Failed("%s%s" % (error, "; on the server's side: %s" % describe(outcome[0]) if outcome else ""))
        thread.join(15)
    require(not thread.is_alive(), "the client left the connection open")
    if outcome:
        raise outcome[0]


def fails(command, url, *arguments, says=()):
    """The client ends with status 1 and one line that says why."""
    run = Run(command + [url, *arguments], 20, stdin=b"")
    lines = run.stderr.splitlines()
    require(run.status == 1, "exit status %s, standard error %r" % (run.status, run.stderr[-200:]))
    require(len(lines) == 1 and lines[0].strip() and "panicked" not in run.stderr, "not one clear line: %r" % run.stderr[-300:])
    require(not says or any(text in lines[0] for text in says), "the line does not say %s: %s" % (" or ".join(says), lines[0]))
    return run, lines[0]


def answer(data, drain=True):
    """A script that reads the request, sends this and closes."""
    def script(wire):
        wire.head()
        wire.send(data)
        if drain:
            wire.socket.shutdown(socket.SHUT_WR)
            require(wire.take(1) is None, "the client sent something after the request: %r" % bytes(wire.buffer[:40]))
    return script


def http(status, reason, *fields, body=b"sorry\n"):
    lines = ["HTTP/1.1 %d %s" % (status, reason), *fields, "Content-Length: %d" % len(body), "", ""]
    return answer("\r\n".join(lines).encode() + body)


def switching(drop=(), extra=(), **replace):
    """A script that answers 101, with fields left out, replaced or added."""
    def script(wire):
        upgrade(wire, drop, extra, **replace)
        wire.socket.shutdown(socket.SHUT_WR)
        rest = wire.take(1)
        require(rest is None, "the client went on after a response it must refuse: %r" % rest)
    return script


def upgrade(wire, drop=(), extra=(), pipelined=b"", **replace):
    first, fields = wire.head()
    replies = {"Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Accept": accept_key(fields["sec-websocket-key"])}
    for name, value in replace.items():
        replies[name.replace("_", "-")] = value
    lines = ["HTTP/1.1 101 Switching Protocols"] + ["%s: %s" % item for item in replies.items() if item[0] not in drop]
    wire.send("\r\n".join([*lines, *extra, "", ""]).encode() + pipelined)
    return first, fields


def refusal(script, *says):
    def check(command):
        with serving(script) as url:
            return fails(command, url, "hello", says=says)[1]
    return check


def well_behaved(command):
    """The request, the masks and the closing handshake, seen byte by byte."""
    keys = []

    def script(wire):
        first, fields = upgrade(wire, pipelined=frame(PING, b"early", mask=False))
        require(first == "GET /chat?room=1 HTTP/1.1", "request line %r" % first)
        require(fields["host"] == "127.0.0.1:%d" % wire.socket.getsockname()[1], "Host: %r" % fields["host"])
        require(fields["upgrade"].lower() == "websocket" and "upgrade" in fields["connection"].lower(), "fields %s" % fields)
        require(fields["sec-websocket-version"] == "13", "fields %s" % fields)
        require(len(base64.b64decode(fields["sec-websocket-key"], validate=True)) == 16, "key %r" % fields["sec-websocket-key"])
        require("origin" not in fields, "an Origin that nobody set")
        pongs = []

        def frame_or_pong():
            got = wire.frame()
            if got and got[1] == PONG:
                pongs.append(got)
                got = wire.frame()
            return got

        for text in (b"one", b"two"):
            got = frame_or_pong()
            require(got == (True, TEXT, text, True), "instead of a masked %r: %r" % (text, got))
            wire.send(frame(TEXT, text, mask=False))
        got = frame_or_pong()
        require(pongs == [(True, PONG, b"early", True)], "the pongs to a ping behind the 101: %r" % pongs)
        require(got and got[1] == CLOSE and got[3] and got[2][:2] == struct.pack(">H", 1000), "instead of Close 1000: %r" % (got,))
        wire.send(frame(CLOSE, got[2][:2], mask=False))
        wire.socket.shutdown(socket.SHUT_WR)
        require(wire.take(1) is None, "the client sent something after its Close")
        keys.append(fields["sec-websocket-key"])

    for _ in range(2):
        with serving(script) as url:
            run = Run(command + [url, "one", "two"], 20)
            require(run.status == 0 and run.stdout == "one\ntwo\n" and run.stderr == "",
                    "status %d, %r, %r" % (run.status, run.stdout, run.stderr))
    require(keys[0] != keys[1], "the same key twice")


def fault(data, number):
    """The client gets this instead of an echo: it must send Close with this code and fail."""
    def check(command):
        def script(wire):
            upgrade(wire)
            require((wire.frame() or [0, 0])[1] == TEXT, "no message")
            wire.send(data)
            codes = [payload[:2] for opcode, payload in wire.frames() if opcode == CLOSE]
            require(codes == [struct.pack(">H", number)], "the client's Close: %r" % codes)
        with serving(script) as url:
            return fails(command, url, "hello")[1]
    return check


def cut(how):
    def check(command):
        def script(wire):
            upgrade(wire)
            wire.frame()
            if how == "reset":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "inside a frame":
                wire.send(frame(TEXT, b"hel", mask=False, length=5))
        with serving(script) as url:
            return fails(command, url, "hello")[1]
    return check


def closes_at_once(wire):
    pass


def refused_connection(command):
    return fails(command, "ws://127.0.0.1:%d/" % closed_port(), "hello")[1]


def bad_urls(command):
    port = closed_port()
    for url in ("http://127.0.0.1:%d/" % port, "ws://", "ws://:%d/" % port, "ws://127.0.0.1:0/", "ws://127.0.0.1:65536/",
                "ws://127.0.0.1:%d/#part" % port, "ws://127.0.0.1:%d/a b" % port, "ws://127.0.0.1:%d/a\r\nX: y" % port,
                "127.0.0.1:%d" % port, "nonsense", ""):
        try:
            fails(command, url, "hello")
        except Failed as error:
            raise Failed("%r: %s" % (url, error))


def no_arguments(command):
    run = Run(command, 20, stdin=b"")
    require(run.status in (1, 2) and run.stderr.strip() and "panicked" not in run.stderr,
            "status %d, %r" % (run.status, run.stderr[-200:]))


def no_answer(after_upgrade):
    """Only clients that take --timeout SECONDS promise to give up."""
    def check(command):
        shown = Run(command + ["--help"], 20, stdin=b"")
        if not re.search(r"--timeout\b", shown.stdout + shown.stderr):
            raise NotRun("the client has no --timeout option")

        def script(wire):
            upgrade(wire) if after_upgrade else wire.head()
            while wire.more():
                pass
        with serving(script) as url:
            return fails(command + ["--timeout", "1"], url, "hello")[1]
    return check


CHECKS = [
    ("request, masks, pong behind the 101, closing handshake", well_behaved),
    ("401", refusal(http(401, "Unauthorized", "WWW-Authenticate: Basic"), "401")),
    ("404", refusal(http(404, "Not Found"), "404")),
    ("302", refusal(http(302, "Found", "Location: /elsewhere"), "302")),
    ("503 without a body", refusal(http(503, "Service Unavailable", body=b""), "503")),
    ("200 from a plain HTTP server", refusal(http(200, "OK", "Content-Type: text/html", body=b"<html>"), "200")),
    ("not HTTP at all", refusal(answer(b"SSH-2.0-OpenSSH_9.2\r\n"))),
    ("closes before it answers", refusal(closes_at_once)),
    ("closes inside its answer", refusal(answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgr"))),
    ("101 with a wrong Sec-WebSocket-Accept", refusal(switching(Sec_WebSocket_Accept=accept_key("AAAAAAAAAAAAAAAAAAAAAA==")))),
    ("101 without Sec-WebSocket-Accept", refusal(switching(drop=("Sec-WebSocket-Accept",)))),
    ("101 without Upgrade", refusal(switching(drop=("Upgrade",)))),
    ("101 without Connection", refusal(switching(drop=("Connection",)))),
    ("101 with a subprotocol that was not offered", refusal(switching(extra=["Sec-WebSocket-Protocol: chat"]))),
    ("101 with an extension that was not offered", refusal(switching(extra=["Sec-WebSocket-Extensions: x-unknown"]))),
    ("a masked frame -> 1002", fault(frame(TEXT, b"hello", mask=True), 1002)),
    ("a reserved opcode -> 1002", fault(frame(3, mask=False), 1002)),
    ("RSV1 -> 1002", fault(frame(TEXT, b"x", mask=False, rsv=4), 1002)),
    ("text that is not UTF-8 -> 1007", fault(frame(TEXT, b"\xff", mask=False), 1007)),
    ("16 MiB + 1 declared -> 1009", fault(frame(TEXT, b"", mask=False, length=(16 << 20) + 1), 1009)),
    ("close code 1005 -> 1002", fault(frame(CLOSE, b"\x03\xed", mask=False), 1002)),
    ("the connection ends without Close", cut("end")),
    ("the connection ends inside a frame", cut("inside a frame")),
    ("the connection is reset", cut("reset")),
    ("connection refused", refused_connection),
    ("bad URLs", bad_urls),
    ("no URL", no_arguments),
    ("no answer to the request", no_answer(False)),
    ("no answer to a message", no_answer(True)),
]


def run(checks, command):
    for name, check in CHECKS:
        checks.run("raw server: " + name, check, command)
