"""permessage-deflate with npm `ws`, Python `websockets`, and the Rust crates yawc and sockudo-ws, in both roles.

All bytes go through a relay, so that what was agreed on and what was really compressed is seen from outside; what
our programs send is inflated once more, by zlib with the window that was agreed on.
"""
import random
import subprocess
import zlib

from harness import HERE, PYTHON, Peer, Run, Server, require
import tap

COMMANDS = {
    "node": ["node", str(HERE / "peers" / "deflate.mjs")],
    "python": [PYTHON, str(HERE / "peers" / "deflate.py")],
    "yawc": [str(HERE / "peers" / "target" / "debug" / "ws-conformance-peers"), "yawc"],
    "sockudo": [str(HERE / "peers" / "target" / "debug" / "ws-conformance-peers"), "sockudo"],
}
SIZES = [0, 1, 125, 126, 1024, 20000, 65535, 65536]
LARGE = [1 << 20, 16 << 20]
# What a peer says by default. yawc offers no client_max_window_bits then, and answers 9 bits.
DEFAULT = {"yawc": (15, 15)}


def cases(peer, role):
    """(name, our bits, its server bits and client bits, who ends context takeover, what is to be agreed on)"""
    default = DEFAULT.get(peer, (0, 0))
    for reset in (None, "ours", "its"):
        for bits in (9, 12, 15):
            if reset != "its":
                yield "our %d bits" % bits, bits, default, reset, (bits, bits)
            if reset != "ours" and bits < 15:
                yield "its %d bits" % bits, 15, (bits, bits), reset, (bits, bits)
    # zlib compresses with 9 bits at least, so Python's peer has 8 for what it receives alone. yawc and sockudo-ws
    # know no 8; yawc's client takes our 8 for 9, which is sound for both directions.
    if peer == "python":
        yield ("its 8 bits", 15, (8, 0), None, (8, 15)) if role == "client" else ("its 8 bits", 15, (0, 8), None, (15, 8))
    if peer == "node":
        for reset in (None, "ours"):
            yield "our 8 bits", 8, default, reset, (8, 8)
            yield "its 8 bits", 15, (8, 8), reset, (8, 8)
    if peer == "yawc" and role == "client":
        yield "our 8 bits", 8, default, None, (8, 8)


def run(checks, server, fuzzing_client, all_sizes):
    checks.run("deflate: the decoder keeps to its window", decoder_is_strict)
    checks.run("deflate: the Rust peers are built", build)
    for name, command in COMMANDS.items():
        for role, exchange, ours in (("client", with_client, server), ("server", with_server, fuzzing_client)):
            peer = None
            for case, bits, settings, reset, agreed in cases(name, role):
                if peer is None or not peer.alive():
                    peer = Peer(command, "deflate-%s.%s" % (role, name))
                large = all_sizes or case == "our 12 bits" and not reset
                words = "%d %d %s %s" % (*settings, "no-takeover" if reset == "its" else "takeover", "large" if large else "small")
                options = ["--deflate-window", str(bits)] + (["--deflate-no-takeover"] if reset == "ours" else [])
                text = "deflate: %s %s, %s, %s" % (name, role, case, "%s no takeover" % reset if reset else "takeover")
                if not checks.run(text, check, exchange, ours, options, peer, words, role, agreed, bool(reset),
                                  SIZES + LARGE if large else SIZES):
                    peer.stop()  # it may be in the middle of something
            peer.stop()


def build():
    subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=HERE / "peers", check=True, stdin=subprocess.DEVNULL, timeout=900)


def decoder_is_strict():
    """What is 300 bytes back is refused with 8 bits, and only there."""
    text = random.Random(1).randbytes(300) * 2
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    message = [(True, payload.removesuffix(b"\x00\x00\xff\xff"))]
    require(tap.inflate(message, 9, False, True) == [text], "another text")
    try:
        tap.inflate(message, 8, False, True)
    except zlib.error as error:
        return str(error)
    require(False, "a distance of 300 bytes was accepted with 8 bits")


def check(exchange, ours, options, peer, words, role, expected, reset, sizes):
    sent = dict(zip(("client", "server"), exchange(ours, options, peer, words)))
    agreed = tap.Agreed(sent["server"])
    require((agreed.bits["server"], agreed.bits["client"]) == expected, "agreed on %s" % agreed.text)
    require(agreed.reset == {"server": reset, "client": reset}, "agreed on %s" % agreed.text)
    ratios = []
    for sender in ("client", "server"):
        found = tap.messages(sent[sender])
        plain = tap.inflate(found, agreed.bits[sender], agreed.reset[sender], sender != role)
        require([len(message) for message in plain] == [size for size in sizes for _ in range(2)], "%d messages" % len(plain))
        for (compressed, _), message in zip(found, plain):
            require(compressed or len(message) < 1024, "the %s sent %d bytes uncompressed" % (sender, len(message)))
        ratios.append(sum(len(payload) for _, payload in found) / sum(map(len, plain)))
    require(max(ratios) < 0.7, "ratios %s" % ratios)
    return "%s; ratio of the client %.3f, of the server %.3f" % (agreed.text, *ratios)


def with_client(command, options, peer, words):
    server = Server(command, *options, name="echo_server.deflate")
    relay = tap.Tap(server.address)
    try:
        tell(peer, "connect 127.0.0.1:%d %s" % (relay.port, words))
        outcome(peer)
        server.check_healthy()
        return relay.stop()
    finally:
        server.stop()


def with_server(command, options, peer, words):
    tell(peer, "listen " + words)
    relay = tap.Tap(("127.0.0.1", peer.event(20)["port"]))
    run = Run(command + [*options, "ws://127.0.0.1:%d" % relay.port, "agent"], 90)
    outcome(peer)
    require(run.status == 0 and not run.stderr, "status %d, standard error %r" % (run.status, run.stderr[-300:]))
    return relay.stop()


def tell(peer, line):
    peer.child.stdin.write(line.encode() + b"\n")
    peer.child.stdin.flush()


def outcome(peer):
    event = peer.event(90)
    require(event["ok"], event.get("detail"))
