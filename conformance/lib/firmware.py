"""The firmware in QEMU: its memory, foreign clients, raw ones and Chromium; started by conformance/firmware.

  firmware.py sizes|quick|all FOLDER LIMIT      FOLDER of cargo's output, LIMIT of flash in bytes or 0
"""
import os
import pathlib
import re
import shlex
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import raw_client
from foreign_clients import relay
from harness import HERE, PYTHON, Checks, Peer, Server, require, stop_at_exit
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, close, frame, request

STACK = 1536
STATE = 512
LIMIT = 1 << 20  # the firmware's longest message
BRIDGE = HERE / "lib" / "uart_bridge.py"
M0, M4 = "thumbv6m-none-eabi", "thumbv7em-none-eabihf"


def command(kernel):
    return "%s -B %s --kernel %s" % (shlex.quote(sys.executable), shlex.quote(str(BRIDGE)), shlex.quote(str(kernel)))


class Board(Server):
    """The firmware in QEMU, which says at its end what memory it took."""

    def __init__(self, kernel, name):
        super().__init__(command(kernel), name=name)

    def memory(self):
        self.child.terminate()
        line = self.line(10)
        found = re.match(r"clients (\d+) flash (\d+) static (\d+) stack (\d+) state (\d+)$", line or "")
        require(found, "no word about the memory at the end: %r; %s" % (line, self.stderr()[-300:]))
        return map(int, found.groups())


def flash(kernel):
    """Bytes of an ELF file that go into flash: what its segments hold."""
    image = pathlib.Path(kernel).read_bytes()
    require(image[:5] == b"\x7fELF\x01", "%s is no 32-bit ELF file" % kernel)
    offset, = struct.unpack_from("<I", image, 28)
    size, count = struct.unpack_from("<2H", image, 42)
    headers = (struct.unpack_from("<8I", image, offset + size * i) for i in range(count))
    return sum(filled for kind, _, _, _, filled, _, _, _ in headers if kind == 1)


def sizes(checks, folder, limit):
    """`limit` is for what the server takes beyond the board's part, which a raw echo has, too."""
    for target in (M4, M0):
        def size(target=target):
            server, echo = (flash(folder / target / "release" / name) for name in ("websocket", "raw-echo"))
            text = "%d bytes, raw echo %d, net %d" % (server, echo, server - echo)
            if target == M4 and limit:
                require(server - echo <= limit, text + ": over %d" % limit)
                text += " of %d" % limit
            return text
        checks.run("flash on %s" % target, size)
    checks.run("flash with the page", lambda: "%d bytes" % flash(folder / M4 / "release" / "websocket-page"))


# Clients that vanish, and what comes after them

def echoes(address):
    raw_client.echo_one(address)


def vanishes(address):
    """In the middle of a frame, without the end of its stream: a reset."""
    with Wire(address) as wire:
        wire.upgrade(address)
        wire.send(frame(BINARY, b"x" * 1000, length=100000))
        time.sleep(0.1)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    echoes(address)


def leaves_in_the_request(address):
    with Wire(address) as wire:
        wire.send(request(address)[:60])
    echoes(address)


def leaves_bytes_behind(address):
    """What one client sent after its end is no part of the next one's request."""
    for _ in range(20):
        with Wire(address) as wire:
            wire.upgrade(address)
            wire.send(close(1000) + os.urandom(600) + b"GET /")
            require(wire.frame()[1] == CLOSE, "no Close")
        echoes(address)


def is_silent(address):
    """Never answers a ping: it is pinged after 10 s and dropped 5 s later."""
    start = time.monotonic()
    with Wire(address, 30) as wire:
        wire.upgrade(address)
        require(wire.frame()[1] == PING, "no ping")
        pinged = time.monotonic() - start
        require(wire.frame()[1:3] == (CLOSE, raw_client.code(1011)), "no Close")
        require(wire.frame() is None, "the line stays open")
        ended = time.monotonic() - start
        require(9.5 < pinged < 12 and 14.5 < ended < 18, "pinged after %.1f s, ended after %.1f s" % (pinged, ended))
    echoes(address)
    return "pinged after %.1f s, ended after %.1f s" % (pinged, ended)


def answers_pings(address):
    """Outlives what ends a silent one, and is not disturbed by a client that waits."""
    with Wire(address, 40) as wire, Wire(address, 40) as waiting:
        wire.upgrade(address)
        waiting.send(request(address))
        for _ in range(2):
            got = wire.frame()
            require(got and got[1] == PING, "got %r" % (got,))
            wire.send(frame(PONG, got[2]))
        wire.send(frame(TEXT, b"still here") + close(1000))
        raw_client.expect(wire, [(TEXT, b"still here"), (CLOSE, raw_client.code(1000))])
        require(waiting.response()[0] == 101, "the next client gets no 101")
        waiting.send(close(1000))
        raw_client.expect(waiting, [(CLOSE, raw_client.code(1000))])


def reads_nothing(address):
    """Sends and never reads: when nothing has left for 5 s, the line is given to the next one."""
    start = time.monotonic()
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.settimeout(60)
    with stream:
        stream.connect(address)
        stream.sendall(request(address))
        try:
            while True:
                stream.sendall(frame(BINARY, b"x" * 60000))
        except ConnectionError:
            pass
    seconds = time.monotonic() - start
    echoes(address)
    return "given up after %.1f s" % seconds


def sends_half_a_request(address):
    start = time.monotonic()
    with Wire(address, 20) as wire:
        wire.send(request(address)[:60])
        require(wire.take(1) is None, "an answer to half a request")
    seconds = time.monotonic() - start
    require(9.5 < seconds < 12, "hung up after %.1f s" % seconds)
    echoes(address)
    return "hung up after %.1f s" % seconds


def opens_and_sends_nothing(address):
    """As browsers do ahead of time: nobody waits for it."""
    with socket.create_connection(address):
        echoes(address)


def bad_then_good(address):
    raw_client.refused(400, drop=("Host",))(address)
    echoes(address)


def many_clients(address):
    for _ in range(200):
        echoes(address)


def plain(address):
    with Wire(address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, _ = wire.response()
        require(status == 426 and fields.get("upgrade") == "websocket", "status %d, %s" % (status, fields))


def larger_than_any_buffer(address):
    for opcode, payload in ((BINARY, os.urandom(100000)), (TEXT, "é€😀z".encode() * 8000)):
        with Wire(address, 60) as wire:
            wire.upgrade(address)
            wire.send(frame(opcode, payload) + close(1000))
            kinds, got = [], b""
            while (part := wire.frame()) is not None and part[1] != CLOSE:
                kinds.append(part[:2])
                got += part[2]
            require(part is not None and part[2] == raw_client.code(1000), "the end is %r" % (part,))
            require(got == payload, "%d other bytes than the %d sent" % (len(got), len(payload)))
            fragments = [(False, opcode)] + [(False, CONTINUATION)] * (len(kinds) - 2) + [(True, CONTINUATION)]
            require(kinds == fragments, "fragments %s" % kinds[:5])


def many_fragments(address):
    """Put together to frames as large as the firmware's memory."""
    with Wire(address, 60) as wire:
        wire.upgrade(address)
        wire.send(frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"x", fin=False) * 10000
                  + frame(CONTINUATION, b"") + close(1000))
        *parts, last = wire.frames()
        require(b"".join(payload for _, payload in parts) == b"x" * 10000, "not the same message")
        require(last == (CLOSE, raw_client.code(1000)), "the end is %r" % (last,))
        require([opcode for opcode, _ in parts] == [BINARY] + [CONTINUATION] * (len(parts) - 1), "not one message")
        return "%d fragments" % len(parts)


def text_fails_after_its_start_was_echoed(address):
    good = "Grüße ".encode() * 1000
    with Wire(address, 30) as wire:
        wire.upgrade(address)
        wire.send(frame(TEXT, good + b"\xff", length=100000))
        *parts, last = wire.frames()
        require(last == (CLOSE, raw_client.code(1007)), "the end is %r" % (last,))
        require(parts and good.startswith(b"".join(payload for _, payload in parts)), "another echo")


def one_byte_over_the_limit(address):
    for sent in (frame(BINARY, length=LIMIT + 1), frame(BINARY, b"", fin=False) + frame(CONTINUATION, length=LIMIT + 1)):
        raw_client.fault(address, sent, 1009, [])


OWN = [
    ("a plain GET gets 426", plain),
    ("a bad request, then a good one", bad_then_good),
    ("messages larger than any buffer", larger_than_any_buffer),
    ("10,000 fragments of one byte are echoed as one message", many_fragments),
    ("text fails after its start was echoed", text_fails_after_its_start_was_echoed),
    ("a message of 1 MiB + 1", one_byte_over_the_limit),
    ("200 clients one after another", many_clients),
    ("a client that is cut inside a frame", vanishes),
    ("a client that leaves inside its request", leaves_in_the_request),
    ("bytes after a connection's end do not reach the next client", leaves_bytes_behind),
    ("a client that opens and sends nothing", opens_and_sends_nothing),
    ("a client that sends half a request", sends_half_a_request),
    ("a client that falls silent", is_silent),
]
# These take their time.
SLOW = [
    ("a client that sends and never reads", reads_nothing),
    ("a client that answers pings, and one that waits", answers_pings),
]
# Of the checks of echo_server: this one has no page, no room for 16 MiB, and its own fragments.
NOT_HERE = ("a plain GET gets the page", "16 MiB in one frame", "10,000 fragments of one byte")


def raw(checks, address, prefix, mode):
    for name, check in OWN + (SLOW if mode == "all" else []) + raw_client.HTTP + raw_client.FRAMES:
        if name not in NOT_HERE:
            checks.run(prefix + name, check, address)
    for name, sent, number, before in raw_client.FAULTS:
        checks.run("%s%s -> %d" % (prefix, name, number), raw_client.fault, address, sent, number, before)


def client(checks, board, language):
    program = [PYTHON, str(HERE / "lib" / "firmware_client.py")] if language == "python" else \
        ["node", str(HERE / "lib" / "firmware_client.mjs")]
    peer = Peer(program + [board.url], "firmware." + language)
    try:
        checks.run("%s client: runs to its end" % language, relay, checks, peer, "%s client: " % language)
    finally:
        peer.stop()


def browser(checks, kernel):
    board = Board(kernel, "firmware.page")
    peer = Peer(["node", str(HERE / "lib" / "firmware_browser.mjs"), board.address[0] + ":%d" % board.address[1]],
                "firmware.browser")
    try:
        checks.run("the page is served", raw_client.page, board.address)
        checks.run("chromium: runs to its end", relay, checks, peer, "chromium: ")
        checks.run("chromium: the firmware still runs", board.check_healthy)
    finally:
        peer.stop()
        board.stop()


def memory(board):
    clients, flash_used, static, stack, state = board.memory()
    text = "flash %d, static RAM %d, most stack %d, state of a connection %d bytes, after %d clients" % (
        flash_used, static, stack, state, clients)
    require(stack <= STACK and state <= STATE, text + ": over %d of stack or %d of state" % (STACK, STATE))
    return text


def main():
    mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    stop_at_exit()
    checks = Checks()
    sizes(checks, folder, int(sys.argv[3]))
    if mode == "sizes":
        return checks.finish()
    board = Board(folder / M4 / "release" / "websocket", "firmware")
    raw(checks, board.address, "raw client: ", mode)
    for language in ("node", "python"):
        client(checks, board, language)
    checks.run("the firmware still runs", board.check_healthy)
    checks.run("memory", memory, board)
    board.stop()
    # The instructions of a Cortex-M0 are a part of those of the M4.
    small = Board(folder / M0 / "release" / "websocket", "firmware.m0")
    checks.run("built for a Cortex-M0: 200 clients one after another", many_clients, small.address)
    checks.run("built for a Cortex-M0: messages larger than any buffer", larger_than_any_buffer, small.address)
    checks.run("built for a Cortex-M0: memory", memory, small)
    small.stop()
    browser(checks, folder / M4 / "release" / "websocket-page")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
