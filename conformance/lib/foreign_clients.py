"""npm `ws` and Python `websockets` as clients of the echo server."""
from harness import HERE, PYTHON, Failed, Peer, Server

COMMANDS = {
    "node": ["node", str(HERE / "peers" / "client.mjs")],
    "python": [PYTHON, str(HERE / "peers" / "client.py")],
}


def run(checks, command, language):
    server = Server(command, name="echo_server." + language)
    peer = Peer(COMMANDS[language] + [server.url], "client." + language)
    try:
        checks.run("%s client: runs to its end" % language, relay, checks, peer, "%s client: " % language)
        checks.run("%s client: the server is still there, without a panic" % language, server.check_healthy)
    finally:
        peer.stop()
        server.stop()


def relay(checks, peer, prefix):
    count = 0
    while True:
        event = peer.event(60)
        if event.get("done"):
            if not count:
                raise Failed("no check ran")
            return "%d checks" % count
        count += 1
        checks.record(prefix + event["name"], "ok" if event["ok"] else "FAIL", event["seconds"], event["detail"])
