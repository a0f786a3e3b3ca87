"""npm `ws` and Python `websockets` as servers of the echo client and of the fuzzing client."""
import itertools
import subprocess

from harness import HERE, PYTHON, Failed, Peer, Process, Run, require
from raw_server import fails

COMMANDS = {
    "node": ["node", str(HERE / "peers" / "server.mjs")],
    "python": [PYTHON, str(HERE / "peers" / "server.py")],
}
MIB = 1 << 20
NUMBERS = itertools.count(1)


def run(checks, client, fuzzing_client, language):
    peer = Peer(COMMANDS[language], "server." + language)
    try:
        hello = peer.event(20)
        url = "ws://127.0.0.1:%d" % hello["port"]
        for name, check in CHECKS:
            checks.run("%s server: %s" % (language, name), check, client, url, peer)
        checks.run("%s server: fuzzing client runs to its end" % language, fuzz, checks, fuzzing_client, url, peer,
                   hello["cases"], "%s server: " % language)
    finally:
        peer.stop()


class Connection:
    """A path of the server with a number in it, and what the server reports of the connection that asks for it."""

    def __init__(self, url, path, peer):
        self.peer = peer
        self.id = str(next(NUMBERS))
        self.url = "%s%s?id=%s" % (url, path, self.id)

    def end(self):
        while True:  # what an earlier, failed check left behind is passed over
            event = self.peer.event(20)
            if event.get("id") == self.id:
                return event


def echoes(arguments, lines=None):
    """Every message comes back on its own line, the server sees Close 1000, and its pings are answered."""
    def check(command, url, peer):
        server = Connection(url, "/echo", peer)
        stdin = None if lines is None else "".join(line + "\n" for line in lines).encode()
        run = Run(command + [server.url, *arguments], 60, stdin=stdin)
        expected = list(arguments) + (lines or [])
        require(run.status == 0 and not run.stderr, "status %d, standard error %r" % (run.status, run.stderr[-300:]))
        require(run.stdout == "".join(text + "\n" for text in expected), "other replies: %r ... (%d bytes)" % (
            run.stdout[:100], len(run.stdout)))
        end = server.end()
        require(end.get("event") == "end" and end["code"] == 1000, "the server saw %s" % end)
        require(end["messages"] == len(expected), "the server saw %d messages" % end["messages"])
        require(not end["unanswered"] and not end["unexpected"], "pings without a pong: %s, pongs without a ping: %s" % (
            end["unanswered"], end["unexpected"]))
    return check


def last_line_without_newline(command, url, peer):
    server = Connection(url, "/echo", peer)
    run = Run(command + [server.url], 20, stdin=b"one\ntwo")
    require(run.status == 0 and run.stdout == "one\ntwo\n", "status %d, %r, %r" % (run.status, run.stdout, run.stderr))
    require(server.end()["code"] == 1000, "no Close 1000")


def answers_while_input_stays_open(command, url, peer):
    """A line is answered before the next one is written, as a person at a terminal needs it."""
    server = Connection(url, "/echo", peer)
    client = Process(command + [server.url], "echo_client")
    try:
        for text in ("first", "second"):
            client.child.stdin.write(text.encode() + b"\n")
            client.child.stdin.flush()
            require(client.line(10) == text, "another reply")
        client.child.stdin.close()
        require(client.line(10) is None, "more output")
        require(client.child.wait(10) == 0, "status %s" % client.child.returncode)
        require(server.end()["code"] == 1000, "no Close 1000")
    except (BrokenPipeError, subprocess.TimeoutExpired) as error:
        raise Failed("%s: %s" % (error, client.stderr()[-200:]))
    finally:
        client.stop()


def server_closes_after_the_last_reply(command, url, peer):
    server = Connection(url, "/close-first", peer)
    run = Run(command + [server.url, "only"], 20)
    require(run.status == 0 and run.stdout == "only\n", "status %d, %r, %r" % (run.status, run.stdout, run.stderr))
    end = server.end()
    require(end["code"] in (1000, 1001), "the server saw %s" % end)


def server_closes_too_early(command, url, peer):
    server = Connection(url, "/close-first", peer)
    run, line = fails(command, server.url, "one", "two", "three", says=["1001", "going away"])
    end = server.end()
    require(run.stdout in ("", "one\n"), "replies %r" % run.stdout)
    require(end["code"] == 1001, "the server saw %s" % end)
    return line


def server_closes_on_open(command, url, peer):
    server = Connection(url, "/close-on-open", peer)
    _, line = fails(command, server.url, "hello", says=["4000", "not now"])
    end = server.end()
    require(end["code"] == 4000, "the server saw %s" % end)
    return line


TEXTS = ["hello", "Grüße", "日本語", "😀 👩‍👩‍👧", "<b>&amp;</b>", " spaces  and\ttabs ", "x" * 125, "x" * 126]

CHECKS = [
    ("one message", echoes(["hello"])),
    ("several messages from arguments", echoes(TEXTS)),
    ("an argument of 65536 bytes", echoes(["y" * 65536])),
    ("an empty argument", echoes([""])),
    ("several lines of standard input", echoes([], TEXTS)),
    ("an empty line between lines", echoes([], ["one", "", "three"])),
    ("lines of 64 KiB and 1 MiB", echoes([], ["é" * (1 << 15), "z" * MIB, "short"])),
    ("500 lines", echoes([], ["line %d" % i for i in range(500)])),
    ("a last line without a newline", last_line_without_newline),
    ("each line is answered while standard input stays open", answers_while_input_stays_open),
    ("the server closes after the last reply", server_closes_after_the_last_reply),
    ("the server closes too early", server_closes_too_early),
    ("the server closes on open", server_closes_on_open),
]


def fuzz(checks, command, url, peer, cases, prefix):
    client = Process(command + [url, "agent-1"], "autobahn_client", stdin=subprocess.DEVNULL)
    try:
        seen = 0
        while (event := peer.event(60)).get("event") != "reports":
            if "name" not in event:
                continue
            seen += 1
            checks.record(prefix + "fuzzing client: " + event["name"], "ok" if event["ok"] else "FAIL", event["seconds"], event["detail"])
        require(seen == cases, "%d of %d cases ran" % (seen, cases))
        require(event["agent"] == "agent-1", "the agent is %r" % event["agent"])
        require(client.child.wait(20) == 0, "exit status %s: %s" % (client.child.returncode, client.stderr()[-200:]))
        return "%d cases" % seen
    except subprocess.TimeoutExpired:
        raise Failed("the client did not end after /updateReports")
    finally:
        client.stop()
