"""wsproto as the program at the other end: wsproto_peer.py client|server, with the commands of ../../interop.py."""
import asyncio

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

from remote import Remote, closed, opened, pong, received


class Peer(Remote):
    async def connect(self, url, subprotocols, deflate):
        host = url.split("/")[2]
        reader, self.writer = await asyncio.open_connection(*host.split(":"))
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.write(Request(host=host, target="/", subprotocols=subprotocols, extensions=[PerMessageDeflate()] if deflate else []))
        self.reading = asyncio.create_task(self.read(self.ws, reader, self.writer))

    async def listen(self):
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        self.ws, self.writer = WSConnection(ConnectionType.SERVER), writer
        await self.read(self.ws, reader, writer)

    async def read(self, ws, reader, writer):
        self.code, self.reason = 1006, ""
        parts = []
        while data := await reader.read(1 << 16):
            try:
                ws.receive_data(data)
                for event in ws.events():
                    self.handle(ws, event, parts)
            except RemoteProtocolError as error:
                self.code, self.reason = 1006, str(error)
                break
            await writer.drain()
            if ws.state is ConnectionState.CLOSED and not ws.client:
                break
        writer.close()
        closed(self.code, self.reason)

    def handle(self, ws, event, parts):
        if isinstance(event, Request):
            subprotocol = "chat" if "chat" in event.subprotocols else None
            self.write(AcceptConnection(subprotocol=subprotocol, extensions=[PerMessageDeflate()]))
            opened(event.target.partition("?")[0], subprotocol)
        elif isinstance(event, AcceptConnection):
            opened("/", event.subprotocol)
        elif isinstance(event, (TextMessage, BytesMessage)):
            parts.append(event.data)
            if event.message_finished:
                received(("" if isinstance(event, TextMessage) else b"").join(parts))
                parts.clear()
        elif isinstance(event, Ping):
            self.write(event.response())
        elif isinstance(event, Pong):
            pong(event.payload)
        elif isinstance(event, CloseConnection):
            self.code, self.reason = event.code, event.reason or ""
            if ws.state is ConnectionState.REMOTE_CLOSING:
                self.write(event.response())

    def write(self, event):
        self.writer.write(self.ws.send(event))

    async def send(self, text, pieces):
        for index, piece in enumerate(pieces):
            self.write(Message(piece.decode() if text else piece, message_finished=index == len(pieces) - 1))
        await self.writer.drain()

    async def ping(self, data):
        self.write(Ping(data))

    async def close(self, code, reason):
        self.write(CloseConnection(code, reason))

    async def raw(self, data):
        self.writer.write(data)


Peer().run()
