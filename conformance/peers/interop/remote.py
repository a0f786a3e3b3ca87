"""What the Python programs of this folder share: the commands of ../../interop.py, and the events that answer them."""
import asyncio
import os
import sys
import threading


def report(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def to_hex(data):
    return (data.encode() if isinstance(data, str) else bytes(data)).hex() or "-"


def from_hex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def opened(path, subprotocol):
    report("open", path, subprotocol or "-")


def received(message):
    report("text" if isinstance(message, str) else "binary", to_hex(message))


def pong(data):
    report("pong", to_hex(data))


def closed(code, reason=None):
    report("closed", code or 1006, "?" if reason is None else to_hex(reason))


class Remote:
    """A program derives from this class. `self.ws` is the connection that the commands are for."""

    ws = None

    async def commands(self):
        loop, queue = asyncio.get_running_loop(), asyncio.Queue()

        def read():
            for line in sys.stdin:
                loop.call_soon_threadsafe(queue.put_nowait, line.split())
            sys.stdout.flush()
            os._exit(0)
        threading.Thread(target=read, daemon=True).start()
        while True:
            command, *words = await queue.get()
            try:
                if command == "connect":
                    port, subprotocols, deflate = words
                    offered = [] if subprotocols == "-" else subprotocols.split(",")
                    await self.connect("ws://127.0.0.1:%s/" % port, offered, deflate == "deflate")
                elif command in ("text", "binary"):
                    await self.send(command == "text", [from_hex(word) for word in words])
                elif command == "ping":
                    await self.ping(from_hex(words[0]))
                elif command == "close":
                    await self.close(int(words[0]), from_hex(words[1]).decode())
                else:
                    await self.raw(from_hex(words[0]))
            except Exception as error:
                report("error", type(error).__name__, error)

    def run(self):
        async def main():
            if sys.argv[1] == "server":
                report("listening", await self.listen())
            await self.commands()
        asyncio.run(main())
