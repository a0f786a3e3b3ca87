import java.net.URI;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.api.WebSocketListener;
import org.eclipse.jetty.websocket.api.WebSocketPingPongListener;
import org.eclipse.jetty.websocket.api.WebSocketPolicy;
import org.eclipse.jetty.websocket.client.ClientUpgradeRequest;
import org.eclipse.jetty.websocket.client.WebSocketClient;
import org.eclipse.jetty.websocket.common.WebSocketSession;
import org.eclipse.jetty.websocket.common.io.AbstractWebSocketConnection;
import org.eclipse.jetty.websocket.server.WebSocketHandler;
import org.eclipse.jetty.websocket.servlet.WebSocketServletFactory;

/** Jetty as the program at the other end: java JettyPeer client|server. */
class JettyPeer extends Remote {
    private static final int MOST = 4 << 20;
    private volatile Session session;

    public static void main(String[] arguments) throws Exception {
        JettyPeer peer = new JettyPeer();
        if (arguments[0].equals("server")) {
            peer.listen();
        }
        peer.obeyCommands();
    }

    private void listen() throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        server.setHandler(new WebSocketHandler() {
            @Override
            public void configure(WebSocketServletFactory factory) {
                allowLongMessages(factory.getPolicy());
                factory.setCreator((request, response) -> {
                    if (request.getSubProtocols().contains("chat")) {
                        response.setAcceptedSubProtocol("chat");
                    }
                    return new Endpoint();
                });
            }
        });
        server.start();
        report("listening " + connector.getLocalPort());
    }

    private static void allowLongMessages(WebSocketPolicy policy) {
        policy.setMaxTextMessageSize(MOST);
        policy.setMaxBinaryMessageSize(MOST);
    }

    @Override
    void connect(String url, List<String> subprotocols, boolean deflate) throws Exception {
        WebSocketClient client = new WebSocketClient();
        allowLongMessages(client.getPolicy());
        client.start();
        ClientUpgradeRequest request = new ClientUpgradeRequest();
        request.setSubProtocols(subprotocols);
        if (deflate) {
            request.addExtensions("permessage-deflate");
        }
        client.connect(new Endpoint(), URI.create(url), request).get(20, TimeUnit.SECONDS);
    }

    @Override
    void text(List<String> pieces) throws Exception {
        for (int i = 0; i < pieces.size(); i++) {
            if (pieces.size() == 1) {
                session.getRemote().sendString(pieces.get(0));
            } else {
                session.getRemote().sendPartialString(pieces.get(i), i == pieces.size() - 1);
            }
        }
    }

    @Override
    void binary(List<ByteBuffer> pieces) throws Exception {
        for (int i = 0; i < pieces.size(); i++) {
            if (pieces.size() == 1) {
                session.getRemote().sendBytes(pieces.get(0));
            } else {
                session.getRemote().sendPartialBytes(pieces.get(i), i == pieces.size() - 1);
            }
        }
    }

    @Override
    void ping(ByteBuffer data) throws Exception {
        session.getRemote().sendPing(data);
    }

    @Override
    void close(int code, String reason) {
        session.close(code, reason);
    }

    @Override
    void raw(ByteBuffer data) {
        var connection = (AbstractWebSocketConnection) ((WebSocketSession) session).getConnection();
        connection.getEndPoint().write(Callback.NOOP, data);
    }

    private class Endpoint implements WebSocketListener, WebSocketPingPongListener {
        @Override
        public void onWebSocketConnect(Session opened) {
            session = opened;
            String subprotocol = opened.getUpgradeResponse().getAcceptedSubProtocol();
            Remote.opened(opened.getUpgradeRequest().getRequestURI().getPath(), subprotocol);
        }

        @Override
        public void onWebSocketText(String text) {
            received(text);
        }

        @Override
        public void onWebSocketBinary(byte[] data, int offset, int length) {
            received(Arrays.copyOfRange(data, offset, offset + length));
        }

        @Override
        public void onWebSocketPing(ByteBuffer data) {
            // Jetty answers it.
        }

        @Override
        public void onWebSocketPong(ByteBuffer data) {
            pong(data);
        }

        @Override
        public void onWebSocketClose(int code, String reason) {
            closed(code, reason);
        }

        @Override
        public void onWebSocketError(Throwable error) {
            System.err.println(error);
        }
    }
}
