"""tornado as the program at the other end: tornado_peer.py client|server, with the commands of ../../interop.py."""
import asyncio

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from remote import Remote, closed, opened, pong, received

FINAL, TEXT, BINARY = True, 1, 2


class Peer(Remote):
    async def connect(self, url, subprotocols, deflate):
        self.ws = await websocket_connect(url, subprotocols=subprotocols, compression_options={} if deflate else None)
        self.ws.on_pong = pong
        self.protocol = self.ws.protocol
        opened("/", self.ws.selected_subprotocol)
        self.reading = asyncio.create_task(self.read(self.ws))

    async def read(self, ws):
        while (message := await ws.read_message()) is not None:
            received(message)
        closed(ws.close_code, ws.close_reason or "")

    async def listen(self):
        peer = self

        class Handler(WebSocketHandler):
            def check_origin(self, origin):
                return True

            def get_compression_options(self):
                return {}

            def select_subprotocol(self, offered):
                return "chat" if "chat" in offered else None

            def open(self, *_):
                peer.ws, peer.protocol = self, self.ws_connection
                opened(self.request.path, self.selected_subprotocol)

            def on_message(self, message):
                received(message)

            def on_pong(self, data):
                pong(data)

            def on_close(self):
                closed(self.close_code, self.close_reason or "")

        sockets = bind_sockets(0, "127.0.0.1")
        HTTPServer(Application([("/.*", Handler)])).add_sockets(sockets)
        return sockets[0].getsockname()[1]

    async def send(self, text, pieces):
        if len(pieces) == 1:
            await self.ws.write_message(pieces[0], binary=not text)
            return
        # Its public functions send whole messages only.
        for index, piece in enumerate(pieces):
            final, opcode = index == len(pieces) - 1, 0 if index else TEXT if text else BINARY
            await self.protocol._write_frame(final, opcode, piece)

    async def ping(self, data):
        self.ws.ping(data)

    async def close(self, code, reason):
        self.ws.close(code, reason)

    async def raw(self, data):
        await self.protocol.stream.write(data)


Peer().run()
