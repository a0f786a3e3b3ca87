import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;

/** What the Java programs share: the commands of ../../interop.py, and the events that answer them. */
abstract class Remote {
    abstract void connect(String url, List<String> subprotocols, boolean deflate) throws Exception;

    abstract void text(List<String> pieces) throws Exception;

    abstract void binary(List<ByteBuffer> pieces) throws Exception;

    abstract void ping(ByteBuffer data) throws Exception;

    abstract void close(int code, String reason) throws Exception;

    abstract void raw(ByteBuffer data) throws Exception;

    void obeyCommands() throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            try {
                obey(line.split(" "));
            } catch (Exception error) {
                report("error " + error);
            }
        }
        System.exit(0);
    }

    private void obey(String[] words) throws Exception {
        List<String> arguments = List.of(words).subList(1, words.length);
        switch (words[0]) {
            case "connect" -> {
                List<String> offered = words[2].equals("-") ? List.of() : List.of(words[2].split(","));
                connect("ws://127.0.0.1:" + words[1] + "/", offered, words[3].equals("deflate"));
            }
            case "text" -> text(arguments.stream().map(Remote::textOf).toList());
            case "binary" -> binary(arguments.stream().map(Remote::bytesOf).toList());
            case "ping" -> ping(bytesOf(words[1]));
            case "close" -> close(Integer.parseInt(words[1]), textOf(words[2]));
            default -> raw(bytesOf(words[1]));
        }
    }

    private static ByteBuffer bytesOf(String word) {
        return ByteBuffer.wrap(word.equals("-") ? new byte[0] : HexFormat.of().parseHex(word));
    }

    private static String textOf(String word) {
        return StandardCharsets.UTF_8.decode(bytesOf(word)).toString();
    }

    private static String hex(byte[] data) {
        return data.length == 0 ? "-" : HexFormat.of().formatHex(data);
    }

    private static String hex(String text) {
        return hex(text.getBytes(StandardCharsets.UTF_8));
    }

    static synchronized void report(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static void opened(String path, String subprotocol) {
        report("open " + path + " " + (subprotocol == null || subprotocol.isEmpty() ? "-" : subprotocol));
    }

    static void received(String text) {
        report("text " + hex(text));
    }

    static void received(byte[] data) {
        report("binary " + hex(data));
    }

    static void pong(ByteBuffer data) {
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        report("pong " + hex(bytes));
    }

    static void closed(int code, String reason) {
        report("closed " + code + " " + hex(reason == null ? "" : reason));
    }
}
