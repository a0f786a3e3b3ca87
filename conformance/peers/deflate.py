"""Python `websockets` with permessage-deflate, in both roles: commands on standard input, one per line.

connect HOST:PORT SETTINGS    exchanges messages, then prints the outcome
listen SETTINGS               prints {"port": N}, serves one client as the Autobahn Testsuite does, which has one case,
                              then the outcome

SETTINGS are SERVER_BITS CLIENT_BITS takeover|no-takeover small|large; 0 bits are a default, `large` adds messages of
1 MiB and 16 MiB. An outcome is {"ok": ..., "detail": ...}.
"""
import asyncio
import sys

from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

from shared import LIMIT, end, report, require, same_message, varied

SIZES = {"small": [0, 1, 125, 126, 1024, 20000, 65535, 65536]}
SIZES["large"] = SIZES["small"] + [1 << 20, LIMIT]
OPTIONS = {"max_size": LIMIT, "ping_interval": None, "compression": None}


async def exchange(ws, sizes):
    for size in SIZES[sizes]:
        for kind in ("text", "binary"):
            data = varied(kind, size)
            await ws.send(data)
            same_message(await asyncio.wait_for(ws.recv(), 30), data)


def settings(factory, server_bits, client_bits, takeover):
    bits = {"server_max_window_bits": int(server_bits) or None, "client_max_window_bits": int(client_bits) or None}
    if factory is ClientPerMessageDeflateFactory and not int(client_bits):
        bits["client_max_window_bits"] = True
    reset = takeover != "takeover"
    return [factory(server_no_context_takeover=reset, client_no_context_takeover=reset, **bits,
                    compress_settings={"level": 1})]


async def connect(address, *words, sizes):
    extensions = settings(ClientPerMessageDeflateFactory, *words)
    async with dial("ws://%s/" % address, proxy=None, extensions=extensions, **OPTIONS) as ws:
        await exchange(ws, sizes)
        await ws.close()
    require(ws.close_code == 1000, "close code %s" % ws.close_code)


async def listen(*words, sizes):
    outcome = asyncio.get_running_loop().create_future()
    case = "no case ran"

    async def handle(ws):
        nonlocal case
        path = ws.request.path.split("?")[0]
        if path == "/getCaseCount":
            await ws.send("1")
        elif path == "/runCase":
            try:
                await exchange(ws, sizes)
                case = None
            except Exception as error:
                case = "%s: %s" % (type(error).__name__, error)
        else:
            outcome.set_result(case)
        await ws.close()

    extensions = settings(ServerPerMessageDeflateFactory, *words)
    async with serve(handle, "127.0.0.1", 0, extensions=extensions, **OPTIONS) as server:
        report({"port": server.sockets[0].getsockname()[1]})
        case = await outcome
    require(case is None, case)


async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode():
        command, *words, sizes = line.split()
        try:
            await {"connect": connect, "listen": listen}[command](*words, sizes=sizes)
            report({"ok": True, "detail": ""})
        except Exception as error:
            report({"ok": False, "detail": "%s: %s" % (type(error).__name__, error)})
    end()


asyncio.run(main())
