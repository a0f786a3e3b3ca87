"""The echo server against a client that sends bytes no library would."""
import os
import struct
import time

from harness import Server, require
from raw import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, close, frame, request)

MIB = 1 << 20
LIMIT = 16 * MIB


def run(checks, command):
    server = Server(command, name="echo_server.raw")
    try:
        address = server.address
        for name, check in HTTP + FRAMES:
            checks.run("raw client: " + name, check, address)
        for name, sent, code, before in FAULTS:
            checks.run("raw client: %s -> %d" % (name, code), fault, address, sent, code, before)
        checks.run("raw client: the server is still there, without a panic", still_serves, server)
    finally:
        server.stop()
    for name, options, check in OPTIONS:
        checks.run("raw client: " + name, with_options, command, options, check)


def with_options(command, options, check):
    server = Server(command, *options, name="echo_server.options")
    try:
        check(server.address)
        server.check_healthy()
    finally:
        server.stop()


def still_serves(server):
    server.check_healthy()
    echo_one(server.address)


def echo_one(address, **options):
    with Wire(address) as wire:
        fields = wire.upgrade(address, **options)
        wire.send(frame(TEXT, b"hello") + close(1000))
        expect(wire, [(TEXT, b"hello"), (CLOSE, code(1000))])
        return fields


def code(number, reason=b""):
    return struct.pack(">H", number) + reason


def expect(wire, frames):
    """Exactly these frames and then the end of the stream. A reply's close reason is free."""
    got = wire.frames()
    shown = [(opcode, payload[:60]) for opcode, payload in got]
    short = [(opcode, payload[:2] if opcode == CLOSE else payload) for opcode, payload in got]
    require(short == frames, "expected %s, got %s%s" % (
        [(opcode, payload[:60]) for opcode, payload in frames], shown, ", then a reset" if wire.reset else ""))
    require(not wire.reset, "the connection was reset")


# The opening handshake and plain HTTP

def refused(status, *also, field=None, **options):
    """A check that a request gets this status, a complete answer, and the end of the connection."""
    def check(address):
        with Wire(address) as wire:
            wire.send_until_refused(request(address, **options))
            got, fields, body = wire.response()
            require(got == status or got in also, "status %d instead of %d" % (got, status))
            if field:
                require(field[1] in fields.get(field[0], "").replace(" ", "").split(","),
                        "%s is %r" % (field[0], fields.get(field[0])))
            require(wire.take(1) is None, "the connection stays open, or sends more, after the answer")
    return check


def accepted(**options):
    return lambda address: echo_one(address, **options) and None


def page(address):
    with Wire(address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/html\r\n\r\n" % (address[0].encode(), address[1]))
        status, fields, body = wire.response()
        require(status == 200, "status %d" % status)
        require(fields.get("content-type", "").startswith("text/html"), "Content-Type is %r" % fields.get("content-type"))
        require(b"<!doctype html" in body.lower() and b"websocket" in body.lower(), "not the page: %r" % body[:80])
        return "%d bytes" % len(body)


def http10_is_plain_http(address):
    with Wire(address) as wire:
        wire.send(request(address, version="HTTP/1.0"))
        status, _, _ = wire.response()
        require(status != 101, "101 to an HTTP/1.0 request")
        return "status %d" % status


def long_head(address):
    with Wire(address) as wire:
        wire.send_until_refused(request(address, headers=["X-%d: %s" % (i, "a" * 1000) for i in range(17)]))
        status, _, _ = wire.response()
        require(status == 431, "status %d" % status)


def byte_by_byte(address):
    with Wire(address) as wire:
        for byte in request(address) + frame(TEXT, "é".encode()) + frame(PING, b"p") + close(1000):
            wire.send(bytes([byte]))
        require(wire.response()[0] == 101, "no 101")
        expect(wire, [(TEXT, "é".encode()), (PONG, b"p"), (CLOSE, code(1000))])


def pipelined(address):
    with Wire(address) as wire:
        wire.send(request(address) + frame(TEXT, b"one") + frame(BINARY, b"\0\xff") + frame(PING, b"p") + close(1000))
        require(wire.response()[0] == 101, "no 101")
        expect(wire, [(TEXT, b"one"), (BINARY, b"\0\xff"), (PONG, b"p"), (CLOSE, code(1000))])


SAMPLE = "ZHVtbXkga2V5IDE2IGJ5dGU="  # 17 bytes

HTTP = [
    ("a plain GET gets the page", page),
    ("an upgrade is accepted and echoed", accepted()),
    ("names and tokens in any case, lists in Connection and Upgrade",
     accepted(drop=("Connection", "Upgrade"), headers=["cOnNection: keep-alive, UPGRADE", "uPGRADE: foo/1, WebSocket"])),
    ("Connection over two lines", accepted(Connection="keep-alive", headers=["Connection: Upgrade"])),
    ("unknown header fields are ignored", accepted(headers=["X-Thing: 1", "Cookie: a=b"])),
    ("an extension that nobody knows is not accepted", lambda a: require(
        "sec-websocket-extensions" not in echo_one(a, headers=["Sec-WebSocket-Extensions: x-unknown; a=1"]), "accepted")),
    ("an offered subprotocol that nobody asked for is not chosen", lambda a: require(
        "sec-websocket-protocol" not in echo_one(a, headers=["Sec-WebSocket-Protocol: a, b"]), "chosen")),
    ("no Sec-WebSocket-Key -> 400", refused(400, drop=("Sec-WebSocket-Key",))),
    ("two Sec-WebSocket-Keys -> 400", refused(400, headers=["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])),
    ("a key of 17 bytes -> 400", refused(400, Sec_WebSocket_Key=SAMPLE)),
    ("a key that is not base64 -> 400", refused(400, Sec_WebSocket_Key="!!!!!!!!!!!!!!!!!!!!!!==")),
    ("no Host -> 400", refused(400, drop=("Host",))),
    ("two Hosts -> 400", refused(400, headers=["Host: other.example"])),
    ("a space before a colon -> 400", refused(400, headers=["X-Thing : 1"])),
    ("a folded header line -> 400", refused(400, headers=["X-Thing: 1", " 2"])),
    ("a NUL in a value -> 400", refused(400, headers=["X-Thing: a\0b"])),
    ("a body on the upgrade request -> 400", refused(400, 413, headers=["Content-Length: 5"])),
    ("Transfer-Encoding on the upgrade request -> 400", refused(400, 501, headers=["Transfer-Encoding: chunked"])),
    ("POST -> 405 with Allow", refused(405, method="POST", field=("allow", "GET"))),
    ("version 12 -> 426 with Sec-WebSocket-Version", refused(426, Sec_WebSocket_Version="12", field=("sec-websocket-version", "13"))),
    ("version 013 -> 426", refused(426, 400, Sec_WebSocket_Version="013")),
    ("no version -> 426", refused(426, 400, drop=("Sec-WebSocket-Version",))),
    ("426 carries Upgrade: websocket", refused(426, Sec_WebSocket_Version="8", field=("upgrade", "websocket"))),
    ("a foreign Origin -> 403", refused(403, Origin="http://foreign.example")),
    ("Origin null -> 403", refused(403, Origin="null")),
    ("the server's own Origin is accepted", lambda a: echo_one(a, Origin="http://%s:%d" % a) and None),
    ("HTTP/2.0 -> 505", refused(505, version="HTTP/2.0")),
    ("HTTP/1.0 does not upgrade", http10_is_plain_http),
    ("101 header fields -> 431", refused(431, headers=["X-%d: 1" % i for i in range(101)])),
    ("a head of more than 16 KiB -> 431", long_head),
    ("request and frames byte by byte", byte_by_byte),
    ("frames in the same segment as the request", pipelined),
]


# Frames that are right

def opened(check):
    def run(address):
        with Wire(address, 30) as wire:
            wire.upgrade(address)
            return check(wire)
    return run


@opened
def control_between_fragments(wire):
    wire.send(frame(TEXT, b"a", fin=False) + frame(PING, b"1") + frame(CONTINUATION, b"", fin=False)
              + frame(PONG, b"unasked") + frame(CONTINUATION, b"b") + close(1000))
    expect(wire, [(PONG, b"1"), (TEXT, b"ab"), (CLOSE, code(1000))])


@opened
def text_split_inside_a_character(wire):
    wire.send(frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONTINUATION, b"\x98", fin=False)
              + frame(CONTINUATION, b"\x80") + close(1000))
    expect(wire, [(TEXT, b"\xf0\x9f\x98\x80"), (CLOSE, code(1000))])


@opened
def many_fragments(wire):
    wire.send(frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"x", fin=False) * 10000
              + frame(CONTINUATION, b"") + close(1000))
    expect(wire, [(BINARY, b"x" * 10000), (CLOSE, code(1000))])


@opened
def close_between_fragments(wire):
    wire.send(frame(TEXT, b"a", fin=False) + close(1000, b"bye"))
    expect(wire, [(CLOSE, code(1000))])


@opened
def nothing_after_close(wire):
    wire.send(close(1000) + frame(TEXT, b"late") + frame(PING, b"late"))
    expect(wire, [(CLOSE, code(1000))])


@opened
def empty_close(wire):
    wire.send(close())
    expect(wire, [(CLOSE, b"")])


@opened
def replies_are_unmasked(wire):
    wire.send(frame(TEXT, b"x") + frame(PING, b"x") + close(1000))
    for _ in range(3):
        got = wire.frame()
        require(got is not None and not got[3], "the server's frame is masked, or missing: %r" % (got,))


@opened
def end_without_close(wire):
    wire.send(frame(TEXT, b"x"))
    require(wire.frame() == (True, TEXT, b"x", False), "no echo")
    wire.socket.shutdown(1)
    rest = [opcode for opcode, _ in wire.frames()]
    require(rest in ([], [CLOSE]), "after the end of the stream the server sent %s" % rest)


@opened
def ping_flood(wire):
    """The server may answer only the latest ping it has read (RFC 6455 section 5.5.3)."""
    wire.send(b"".join(frame(PING, b"%04d" % i) for i in range(1000)) + close(1000))
    got = wire.frames()
    pongs = [payload for opcode, payload in got if opcode == PONG]
    require(got[-1:] and got[-1][0] == CLOSE and len(pongs) == len(got) - 1, "other frames than pongs and one Close")
    require(pongs == sorted(set(pongs)) and pongs[-1:] == [b"0999"], "pongs out of order, or the last one missing: %s" % pongs[-3:])
    return "%d of 1000 pings answered" % len(pongs)


@opened
def limit_is_inclusive(wire):
    payload = os.urandom(LIMIT)
    wire.send(frame(BINARY, payload))
    got = wire.frame()
    require(got is not None and got[:2] == (True, BINARY) and got[2] == payload, "not the same message: %s" % (
        got and (got[:2], len(got[2])),))
    wire.send(close(1000))
    expect(wire, [(CLOSE, code(1000))])


@opened
def size_refused_from_the_header(wire):
    start = time.monotonic()
    wire.send(frame(BINARY, b"", length=LIMIT + 1))
    got = wire.frame()
    require(got is not None and got[1] == CLOSE and got[2][:2] == code(1009), "got %r" % (got,))
    require(time.monotonic() - start < 5, "refused late")


FRAMES = [
    ("control frames between fragments", control_between_fragments),
    ("text split inside a character", text_split_inside_a_character),
    ("10,000 fragments of one byte", many_fragments),
    ("Close between fragments", close_between_fragments),
    ("nothing is answered after Close", nothing_after_close),
    ("an empty Close gets an empty Close", empty_close),
    ("the server masks nothing", replies_are_unmasked),
    ("the end of the stream without Close", end_without_close),
    ("1000 pings in one segment", ping_flood),
    ("16 MiB in one frame", limit_is_inclusive),
    ("16 MiB + 1 is refused from its header alone", size_refused_from_the_header),
]


# Frames that are wrong: what is sent, the close code, and the frames that come before the Close

FIRST = frame(TEXT, b"first")
FAULTS = [
    ("an unmasked frame", frame(TEXT, b"x", mask=False), 1002, []),
    ("an unmasked empty ping", frame(PING, mask=False), 1002, []),
    ("RSV1", frame(TEXT, b"x", rsv=4), 1002, []),
    ("RSV2", frame(TEXT, b"x", rsv=2), 1002, []),
    ("RSV3 on a ping", frame(PING, b"x", rsv=1), 1002, []),
    ("a reserved data opcode", frame(3, b"x"), 1002, []),
    ("a reserved control opcode that declares 2^40 bytes", frame(11, length=1 << 40), 1002, []),
    ("a fragmented ping", frame(PING, b"x", fin=False), 1002, []),
    ("a ping of 126 bytes", frame(PING, b"x" * 126), 1002, []),
    ("a pong of 126 bytes", frame(PONG, b"x" * 126), 1002, []),
    ("a Close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002, []),
    ("a continuation of nothing", frame(CONTINUATION, b"x"), 1002, []),
    ("a message inside a message", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002, []),
    ("125 bytes in a 16-bit length", frame(BINARY, b"x" * 125, length_bytes=2), 1002, []),
    ("65535 bytes in a 64-bit length", frame(BINARY, b"x" * 65535, length_bytes=8), 1002, []),
    ("a 64-bit length with its highest bit set", frame(BINARY, length=1 << 63), 1002, []),
    ("a length of 2^62", frame(BINARY, length=1 << 62), 1009, []),
    ("text that is not UTF-8", frame(TEXT, b"\xce\xba\xed\xa0\x80"), 1007, []),
    ("text that is not UTF-8 inside an incomplete frame", frame(TEXT, b"a\xff", length=100), 1007, []),
    ("text that ends inside a character", frame(TEXT, b"\xe2\x82"), 1007, []),
    ("a Close of one byte", frame(CLOSE, b"\x03"), 1002, []),
    ("close code 999", close(999), 1002, []),
    ("close code 1005", close(1005), 1002, []),
    ("close code 1006", close(1006), 1002, []),
    ("close code 5000", close(5000), 1002, []),
    ("a close reason that is not UTF-8", close(1000, b"\xff"), 1007, []),
    ("a message, then a fault, in one segment", FIRST + frame(3), 1002, [(TEXT, b"first")]),
    ("a ping, a message, then a fault", frame(PING, b"p") + FIRST + frame(3), 1002, [(PONG, b"p"), (TEXT, b"first")]),
]


def fault(address, sent, number, before):
    with Wire(address) as wire:
        wire.upgrade(address)
        wire.send_until_refused(sent + frame(TEXT, b"ignored"))
        expect(wire, before + [(CLOSE, code(number))])


# The server's options

def small_limits(address):
    with Wire(address) as wire:
        wire.upgrade(address)
        whole = frame(BINARY, b"x" * 500, fin=False) + frame(CONTINUATION, b"x" * 500)
        wire.send(frame(BINARY, b"x" * 600) + whole + close(1000))
        expect(wire, [(BINARY, b"x" * 600), (BINARY, b"x" * 1000), (CLOSE, code(1000))])
    fault(address, frame(BINARY, b"x" * 601), 1009, [])
    fault(address, frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401), 1009, [])


def own_origin(address):
    echo_one(address, Origin="http://good.example")
    refused(403, Origin="http://bad.example")(address)


def own_protocol(address):
    chosen = [echo_one(address, headers=headers).get("sec-websocket-protocol") for headers in (
        ["Sec-WebSocket-Protocol: superchat, chat"], ["Sec-WebSocket-Protocol: superchat", "Sec-WebSocket-Protocol: chat"], [])]
    require(chosen == ["chat", "chat", None], "chosen: %s" % chosen)
    with Wire(address) as wire:
        wire.send(request(address, headers=["Sec-WebSocket-Protocol: superchat"]))
        status, fields, _ = wire.response()
        require("sec-websocket-protocol" not in fields, "chosen though not offered: %s" % fields)


OPTIONS = [
    ("--max-message and --max-frame are inclusive, beyond them 1009", ["--max-message", "1000", "--max-frame", "600"], small_limits),
    ("--origin allows one origin and no other", ["--origin", "http://good.example"], own_origin),
    ("--protocol is chosen when offered", ["--protocol", "chat"], own_protocol),
]
