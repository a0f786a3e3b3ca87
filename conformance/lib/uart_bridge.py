"""Runs the firmware in QEMU and puts its serial line on a TCP port, one client at a time.

  uart_bridge.py [--kernel FILE] [--machine NAME] [ADDRESS]

Prints `listening on ws://127.0.0.1:PORT`. It is the modem of the firmware: the first serial port has
the client's bytes, the second one stands for the control wires. To the firmware go C (a client is
there), N (it is gone) and ? (tell the memory), from it come R (ready for its bytes) and H (hang up).
Further clients wait. At its end it prints what the firmware says about its memory.
"""
import argparse
import collections
import ctypes
import os
import pathlib
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:
    sys.exit("uart_bridge: needs Linux")

HERE = pathlib.Path(__file__).resolve().parent.parent.parent
KERNEL = HERE / "examples/embed/firmware/target/thumbv7em-none-eabihf/release/websocket"
# How long a client that was hung up on may go on sending before it is dropped.
LINGER = 2.0
CHUNK = 1024
# The most that waits for a client to read it.
ROOM = 16384


class Ended(Exception):
    """QEMU is gone."""


def start_qemu(kernel, machine, folder):
    """QEMU and its two serial lines."""
    listeners = []
    command = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-nodefaults", "-nic", "none",
               "-no-reboot", "-kernel", str(kernel)]
    for name in ("data", "control"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("%s/%s" % (folder, name))
        listener.listen(1)
        listener.settimeout(20)
        listeners.append(listener)
        command += ["-serial", "unix:%s/%s" % (folder, name)]
    libc = ctypes.CDLL(None)

    def end_with_parent():
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True,
                            preexec_fn=end_with_parent)
    lines = []
    try:
        for listener in listeners:
            line, _ = listener.accept()
            line.setblocking(False)
            # A line holds little: what a client that is gone has sent is not to be worked off first.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            lines.append(line)
            listener.close()
    except OSError as error:
        qemu.kill()
        raise Ended("QEMU does not open its serial lines: %s" % error)
    return qemu, *lines


class Bridge:
    def __init__(self, listener, data, control):
        self.listener = listener
        self.data = data
        self.control = control
        self.waiting = collections.deque()  # clients that have not been served
        self.leaving = []  # clients that were hung up on, with their deadlines
        self.clients = 0

    def run(self):
        while True:
            self.serve(self.next_client())

    def next_client(self):
        """The first client that has sent something: browsers open connections that they do not use."""
        while True:
            for client in list(self.waiting):
                if readable(client):
                    self.waiting.remove(client)
                    return client
            self.wait([*self.waiting, self.control, self.data])
            if self.read_control():
                raise Ended("the firmware speaks without a client")

    def serve(self, client):
        self.clients += 1
        self.drain()
        self.say(b"C")
        while b"R" not in (got := self.read_control()):
            if got:
                raise Ended("the firmware answers %r instead of R" % got)
            self.wait([self.control, self.data])
            self.discard()
        self.discard()
        to_line, to_client = bytearray(), bytearray()
        at_end = gone = told = hung_up = False
        while not hung_up:
            # Whatever the firmware sent before it hung up is in the line by then.
            hung_up = b"H" in self.read_control()
            while len(to_client) < ROOM and (data := self.receive_data()):
                to_client += data
            if gone:
                to_client.clear()
            if not at_end and not to_line and (data := receive(client)) is not None:
                to_line += data
                at_end = not data
            if to_line and not hung_up:
                del to_line[:send(self.data, to_line)]
            if to_client and not gone:
                try:
                    del to_client[:send(client, to_client)]
                except OSError:
                    gone = True
            # The firmware is told of the end when it has got everything before it.
            if (gone or at_end and not to_line and not in_flight(self.data)) and not told:
                told = True
                self.say(b"N")
            if not hung_up:
                reads = {self.control: True, self.data: len(to_client) < ROOM, client: not (at_end or to_line or gone)}
                writes = {self.data: to_line, client: to_client and not gone}
                self.wait(filter(reads.get, reads), filter(writes.get, writes), 0.002 if at_end and not told else None)
        while data := self.receive_data():
            to_client += data
        self.leave(client, to_client)

    def drain(self):
        """Wait until the firmware has taken, and thrown away, what the last client sent it."""
        while in_flight(self.data):
            time.sleep(0.0005)
            self.discard()

    def discard(self):
        """Throw away what the firmware sent to a client that is gone."""
        while self.receive_data():
            pass

    def leave(self, client, rest):
        """Close a client's stream as TCP wants it: end the own side, then wait for the other."""
        try:
            client.settimeout(LINGER)
            if rest:
                client.sendall(rest)
            client.setblocking(False)
            client.shutdown(socket.SHUT_WR)
            self.leaving.append((client, time.monotonic() + LINGER))
        except OSError:
            client.close()

    def wait(self, reads, writes=(), seconds=None):
        """Until one of them is ready. New clients and those that leave are seen to on the way."""
        with selectors.PollSelector() as selector:
            leaving = (client for client, _ in self.leaving)
            events = {read: selectors.EVENT_READ for read in (self.listener, *reads, *leaving)}
            for write in writes:
                events[write] = events.get(write, 0) | selectors.EVENT_WRITE
            for file, mask in events.items():
                selector.register(file, mask)
            if self.leaving:
                seconds = min(seconds or LINGER, LINGER)
            selector.select(seconds)
        try:
            client, _ = self.listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
            self.waiting.append(client)
        except BlockingIOError:
            pass
        now = time.monotonic()
        still = []
        for client, deadline in self.leaving:
            while data := receive(client):
                pass
            if data is None and now < deadline:
                still.append((client, deadline))
            else:
                client.close()
        self.leaving = still

    def status(self):
        """What the firmware says about its memory, or None while it serves a client."""
        self.say(b"?")
        answer = b""
        end = time.monotonic() + 1
        while len(answer) < 16 and time.monotonic() < end:
            answer += self.read_control()
            time.sleep(0.01)
        return struct.unpack("<4I", answer) if len(answer) == 16 else None

    def say(self, byte):
        self.control.send(byte)

    def read_control(self):
        return line_bytes(self.control)

    def receive_data(self):
        return line_bytes(self.data)


def line_bytes(line):
    data = receive(line)
    if data == b"":
        raise Ended("QEMU has closed the line")
    return data or b""


def receive(source):
    """Bytes, nothing at the end of the stream, None when there are none yet."""
    try:
        return source.recv(CHUNK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def send(target, data):
    try:
        return target.send(data)
    except BlockingIOError:
        return 0


def readable(client):
    try:
        client.recv(1, socket.MSG_PEEK)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def in_flight(line):
    """How many bytes the other end of a Unix socket has not taken."""
    return struct.unpack("i", ioctl(line, TIOCOUTQ, b"\0" * 4))[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address", nargs="?", default="127.0.0.1:0")
    parser.add_argument("--kernel", type=pathlib.Path, default=KERNEL, help="the firmware, an ELF file")
    parser.add_argument("--machine", default="mps2-an386", help="QEMU's name of the board")
    options = parser.parse_args()
    if not options.kernel.is_file():
        parser.error("no firmware %s: build it first" % options.kernel)
    host, port = options.address.rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=512)
    listener.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(0))

    bridge = qemu = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            qemu, data, control = start_qemu(options.kernel, options.machine, folder)
        bridge = Bridge(listener, data, control)
        print("listening on ws://%s:%d" % listener.getsockname()[:2], flush=True)
        bridge.run()
    except Ended as error:
        bridge = None
        print("uart_bridge: " + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if bridge:
            report(bridge)
        if qemu:
            qemu.kill()
            qemu.wait()


def report(bridge):
    try:
        status = bridge.status()
    except (Ended, OSError):
        status = None
    if status:
        print("clients %d flash %d static %d stack %d state %d" % (bridge.clients, *status), flush=True)


if __name__ == "__main__":
    sys.exit(main())
