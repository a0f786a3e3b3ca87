"""A relay between a client and a server that keeps what went by, and what it means with permessage-deflate."""
import re
import socket
import threading
import zlib

from harness import require

# Up to this size a message is inflated byte by byte, which is what makes zlib keep to the window.
STRICT = 20000
CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8


class Tap:
    """Listens on `port` and relays each connection to `address`, a pair of host and port."""

    def __init__(self, address):
        self.address = address
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.address)
            connection = [bytearray(), bytearray()]
            threads = [threading.Thread(target=relay, args=(*way, kept), daemon=True)
                       for way, kept in zip(((client, server), (server, client)), connection)]
            self.connections.append((connection, threads))
            for thread in threads:
                thread.start()

    def stop(self):
        """Returns what the client and the server of the connection with the most bytes have sent."""
        self.listener.close()
        require(self.connections, "nobody connected")
        connection, threads = max(self.connections, key=lambda one: sum(map(len, one[0])))
        for thread in threads:
            thread.join(10)
        return [bytes(kept) for kept in connection]


def relay(source, target, kept):
    try:
        for stream in (source, target):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := source.recv(1 << 18):
            kept += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for stream in (source, target):
            stream.close()


class Agreed:
    """The parameters in a server's answer: bits and whether the context is reset, by the role of the sender."""

    def __init__(self, response):
        head = response.partition(b"\r\n\r\n")[0].decode()
        found = re.search(r"^sec-websocket-extensions:[ \t]*(.*?)[ \t]*$", head, re.I | re.M)
        require(found, "no extension was agreed on")
        self.text = found[1].strip()
        name, *params = [part.strip() for part in self.text.split(";")]
        require(name == "permessage-deflate" and "," not in self.text, "extensions %s" % self.text)
        params = dict((param.partition("=")[::2]) for param in params)
        self.bits = {role: int(params.get(role + "_max_window_bits", "15").strip('"')) for role in ("server", "client")}
        self.reset = {role: role + "_no_context_takeover" in params for role in ("server", "client")}


def frames(sent):
    """(final, RSV bits, opcode, payload) of each frame behind the head of a request or response."""
    rest = memoryview(sent.partition(b"\r\n\r\n")[2])
    while rest:
        first, second = rest[0], rest[1]
        size = second & 127
        at = 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(rest[2:2 + width], "big")
            at += width
        key = bytes(rest[at:at + 4]) if second & 128 else None
        at += 4 if key else 0
        payload, rest = rest[at:at + size], rest[at + size:]
        require(len(payload) == size, "the stream ends within a frame")
        yield bool(first & 128), first & 112, first & 15, unmask(payload, key) if key else bytes(payload)


def messages(sent):
    """(compressed, payload) of each text and binary message."""
    found, parts = [], None
    for final, rsv, opcode, payload in frames(sent):
        if opcode >= CLOSE:
            require(rsv == 0, "a reserved bit in a control frame")
            continue
        if opcode == CONTINUATION:
            require(rsv == 0, "a reserved bit in a continuation frame")
        else:
            require(rsv in (0, 64), "reserved bits other than RSV1")
            parts = []
            compressed = rsv == 64
        parts.append(payload)
        if final:
            found.append((compressed, b"".join(parts)))
    return found


def unmask(payload, key):
    mask = (key * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(len(payload), "little")


def inflate(found, bits, reset, strict):
    """The plain messages. `strict`: each of them keeps to the window of 2 ** bits bytes."""
    plain = []
    decoder = None
    for compressed, payload in found:
        if compressed:
            if reset or decoder is None:
                decoder = zlib.decompressobj(-bits)
            payload += b"\x00\x00\xff\xff"
            if strict and len(payload) <= STRICT:
                payload = byte_by_byte(decoder, payload)
            else:
                payload = decoder.decompress(payload)
            require(not decoder.unused_data and not decoder.eof, "a final block")
        plain.append(payload)
    return plain


def byte_by_byte(decoder, payload):
    """Within one call, zlib takes distances up to what that call has returned, however small the window is."""
    plain = bytearray()
    for at in range(0, len(payload), 64):
        piece = payload[at:at + 64]
        while out := decoder.decompress(piece, 1):
            plain += out
            piece = decoder.unconsumed_tail
    return bytes(plain)
