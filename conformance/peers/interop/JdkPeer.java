import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

/** The client of the JDK, java.net.http.WebSocket, as the program at the other end: java JdkPeer client. */
class JdkPeer extends Remote {
    private static final int SECONDS = 20;
    private WebSocket ws;

    public static void main(String[] arguments) throws Exception {
        new JdkPeer().obeyCommands();
    }

    @Override
    void connect(String url, List<String> subprotocols, boolean deflate) throws Exception {
        WebSocket.Builder builder = HttpClient.newHttpClient().newWebSocketBuilder();
        if (!subprotocols.isEmpty()) {
            String[] others = subprotocols.subList(1, subprotocols.size()).toArray(String[]::new);
            builder.subprotocols(subprotocols.get(0), others);
        }
        ws = builder.buildAsync(URI.create(url), new Listener()).get(SECONDS, TimeUnit.SECONDS);
    }

    @Override
    void text(List<String> pieces) throws Exception {
        for (int i = 0; i < pieces.size(); i++) {
            ws.sendText(pieces.get(i), i == pieces.size() - 1).get(SECONDS, TimeUnit.SECONDS);
        }
    }

    @Override
    void binary(List<ByteBuffer> pieces) throws Exception {
        for (int i = 0; i < pieces.size(); i++) {
            ws.sendBinary(pieces.get(i), i == pieces.size() - 1).get(SECONDS, TimeUnit.SECONDS);
        }
    }

    @Override
    void ping(ByteBuffer data) throws Exception {
        ws.sendPing(data).get(SECONDS, TimeUnit.SECONDS);
    }

    @Override
    void close(int code, String reason) throws Exception {
        ws.sendClose(code, reason).get(SECONDS, TimeUnit.SECONDS);
    }

    @Override
    void raw(ByteBuffer data) {
        throw new UnsupportedOperationException("its API sends no bytes of its user's own");
    }

    private static class Listener implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();
        private final ByteArrayOutputStream binary = new ByteArrayOutputStream();

        @Override
        public void onOpen(WebSocket ws) {
            opened("/", ws.getSubprotocol());
            ws.request(1);
        }

        @Override
        public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                received(text.toString());
                text.setLength(0);
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
            while (data.hasRemaining()) {
                binary.write(data.get());
            }
            if (last) {
                received(binary.toByteArray());
                binary.reset();
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
            pong(data);
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
            closed(code, reason);
            return null; // it answers now
        }

        @Override
        public void onError(WebSocket ws, Throwable error) {
            report("error " + error);
            closed(1006, "");
        }
    }
}
