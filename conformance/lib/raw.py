"""The least that a WebSocket peer needs, on plain sockets, so that a check can also send what no
library would.
"""
import base64
import hashlib
import os
import socket
import struct
import time

from harness import Failed, require

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0, length=None, length_bytes=None):
    """One frame. `length` declares another length than the payload has, `length_bytes` (0, 2 or 8)
    an extended length field other than the shortest."""
    length = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[length_bytes]
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if mask else 0) | short])
    head += length.to_bytes(length_bytes, "big") if length_bytes else b""
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + unmask(payload, key)


def unmask(payload, key):
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


def request(address, path="/", method="GET", version="HTTP/1.1", drop=(), headers=(), **replace):
    """An upgrade request. `drop` leaves header fields out, keyword arguments (with _ for -) replace
    their values, `headers` appends lines as they are."""
    fields = {"Host": "%s:%d" % address, "Upgrade": "websocket", "Connection": "Upgrade",
              "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    for name, value in replace.items():
        fields[name.replace("_", "-")] = value
    lines = ["%s %s %s" % (method, path, version)]
    lines += ["%s: %s" % item for item in fields.items() if item[0] not in drop]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


class Wire:
    """A socket with a deadline for everything together, and a buffer that frames are cut from."""

    def __init__(self, target, seconds=15):
        self.end = time.monotonic() + seconds
        if isinstance(target, tuple):
            target = socket.create_connection(target, timeout=seconds)
        self.socket = target
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.reset = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        self._arm()
        self.socket.sendall(data)

    def send_until_refused(self, data):
        """Send what the peer takes: it may close before it has read everything."""
        try:
            self.send(data)
        except (ConnectionError, socket.timeout):
            pass

    def _arm(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failed("no end before the check's deadline")
        self.socket.settimeout(left)

    def more(self):
        """Read once; False at the end of the stream."""
        self._arm()
        try:
            data = self.socket.recv(1 << 20)
        except socket.timeout:
            raise Failed("nothing arrived before the check's deadline; so far %r" % self.buffer[:80])
        except ConnectionError:
            self.reset = True
            return False
        self.buffer += data
        return bool(data)

    def take(self, size):
        while len(self.buffer) < size:
            if not self.more():
                return None
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def head(self):
        """An HTTP head: its first line, and the fields with lower-case names."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                raise Failed("the connection ended before the end of an HTTP head; it sent %r" % self.buffer[:200])
            require(len(self.buffer) < 1 << 20, "an HTTP head of more than 1 MiB")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = (fields[name] + ", " if name in fields else "") + value.strip()
        return first, fields

    def response(self):
        """Status, fields and body. After 101 there is no body."""
        first, fields = self.head()
        require(first.startswith("HTTP/1.1 ") and first[9:12].isdigit(), "the status line is %r" % first)
        status = int(first[9:12])
        body = b""
        if status != 101:
            length = fields.get("content-length")
            if length is None:  # then the end of the connection ends the body
                while self.more():
                    pass
                length = len(self.buffer)
            body = self.take(int(length))
            require(body is not None, "the connection ended inside the body of a %d" % status)
        return status, fields, body

    def upgrade(self, address, **options):
        self.send(request(address, **options))
        status, fields, body = self.response()
        require(status == 101, "status %d: %s" % (status, body[:100].decode(errors="replace")))
        require(fields.get("sec-websocket-accept") == accept_key(KEY), "wrong Sec-WebSocket-Accept: %s" % fields)
        return fields

    def frame(self):
        """The next frame as (fin, opcode, payload, masked), or None at the end of the stream."""
        head = self.take(2)
        if head is None:
            require(not self.buffer, "the stream ended inside a frame: %r" % self.buffer[:40])
            return None
        require(not head[0] & 0x70, "a frame with reserved bits: %r" % head)
        length = head[1] & 0x7F
        if length > 125:
            length = int.from_bytes(self.take(2 if length == 126 else 8) or b"", "big")
        masked = head[1] >= 0x80
        key = self.take(4) if masked else None
        payload = self.take(length)
        require(payload is not None, "the stream ended inside a frame")
        return head[0] >= 0x80, head[0] & 15, unmask(payload, key) if masked else payload, masked

    def frames(self):
        """Every frame to the end of the stream, as (opcode, payload)."""
        found = []
        while (got := self.frame()) is not None:
            found.append((got[1], got[2]))
        return found
