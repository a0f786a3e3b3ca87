"""aiohttp as the program at the other end: aiohttp_peer.py client|server, with the commands of ../../interop.py."""
import asyncio

from aiohttp import ClientSession, WSMsgType, web

from remote import Remote, closed, opened, pong, received


class Peer(Remote):
    async def connect(self, url, subprotocols, deflate):
        session = ClientSession()
        self.ws = await session.ws_connect(url, protocols=subprotocols, autoping=False, compress=15 if deflate else 0)
        opened("/", self.ws.protocol)

        async def read():
            await self.read(self.ws)
            await session.close()
        self.reading = asyncio.create_task(read())

    async def listen(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.accept)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1]

    async def accept(self, request):
        self.ws = ws = web.WebSocketResponse(protocols=["chat"], autoping=False)
        await ws.prepare(request)
        opened(request.path, ws.ws_protocol)
        await self.read(ws)
        return ws

    async def read(self, ws):
        while True:
            message = await ws.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                received(message.data)
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                pong(message.data)
            elif message.type is WSMsgType.CLOSING:
                return await self.end  # `close` reports it
            else:
                return closed(ws.close_code, message.extra or "")

    async def send(self, text, pieces):
        [data] = pieces
        await (self.ws.send_str(data.decode()) if text else self.ws.send_bytes(data))

    async def ping(self, data):
        await self.ws.ping(data)

    async def close(self, code, reason):
        self.end = asyncio.get_running_loop().create_future()
        await self.ws.close(code=code, message=reason.encode())
        closed("?")  # its server forgets the code while another task reads
        self.end.set_result(None)

    async def raw(self, data):
        self.ws._writer.transport.write(data)


Peer().run()
