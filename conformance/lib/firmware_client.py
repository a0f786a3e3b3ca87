"""Python `websockets` as a client of the firmware, which serves one client at a time. One JSON line per check,
then {"done": true}.

  python firmware_client.py ws://HOST:PORT
"""
import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

from websockets.asyncio.client import connect as dial

from shared import check, end, end_with_input, payload, pieces, report, require, same_message


def connect():
    return dial(sys.argv[1], proxy=None, ping_interval=None, open_timeout=20)


async def closed(ws, code=1000, reason=""):
    await ws.close(code, reason)
    got = ws.protocol.close_rcvd
    require(got is not None and got.code == code, "Close %r" % (got,))


async def messages(kind):
    async with connect() as ws:
        for size in (0, 1, 125, 126, 764, 765, 65536):
            data = payload(kind, size)
            await ws.send(data)
            same_message(await ws.recv(), data)
        await closed(ws)


async def fragments():
    data = payload("multibyte", 20000)
    async with connect() as ws:
        pongs = []

        async def parts():
            for piece in pieces(data, 50):
                yield piece
                pongs.append(await ws.ping("ping %d" % len(pongs)))
        await ws.send(parts())
        same_message(await ws.recv(), data)
        await asyncio.gather(*pongs)
        await closed(ws)


async def close_code(code, reason):
    async with connect() as ws:
        require(not ws.response.headers.get("Sec-WebSocket-Extensions"), "an extension")
        await closed(ws, code, reason)


async def several():
    async def one(i):
        async with connect() as ws:
            await ws.send("client %d" % i)
            same_message(await ws.recv(), "client %d" % i)
            await closed(ws)
    await asyncio.gather(*(one(i) for i in range(10)))


async def main():
    for kind in ("multibyte", "binary"):
        await check("%s messages of 0 to 65536 bytes" % kind, messages, kind)
    await check("20000 bytes of text in 50 fragments with a ping after each", fragments)
    for code, reason in ((1001, "leaving"), (3000, "x" * 123), (4999, "ünïcödé")):
        await check("Close %d with a reason of %d bytes" % (code, len(reason.encode())), close_code, code, reason)
    await check("10 clients at once are served one after another", several)
    report({"done": True})
    end()


end_with_input()
asyncio.run(main())
