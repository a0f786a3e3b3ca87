"""Foreign clients and servers over TLS against the example programs; started by conformance/tls."""
import argparse
import os
import pathlib
import shlex
import socket
import ssl
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))

import foreign_clients
import foreign_servers
from harness import ROOT, Checks, Failed, Peer, Process, Run, require, stop_at_exit

CERTIFICATES = ROOT / "ws-std" / "tests" / "certificates"
ROOTS = str(CERTIFICATES / "ca.pem")
# Where rustls, OpenSSL and Node look for the certificates that they trust.
TRUST = {"SSL_CERT_FILE": ROOTS, "NODE_EXTRA_CA_CERTS": ROOTS}


def identity(name):
    return [str(CERTIFICATES / (name + ending)) for ending in (".pem", ".key")]


class Server(Process):
    """echo_server with a certificate, on a free port."""

    def __init__(self, programs, name):
        command = [str(programs / "echo_server"), "127.0.0.1:0", "--tls", *identity("server")]
        super().__init__(command, name, stdin=subprocess.DEVNULL)
        line = self.line(20) or ""
        self.url = line.removeprefix("listening on ")
        require(self.url.startswith("wss://127.0.0.1:"), "the first line is %r: %s" % (line, self.stderr()[-300:]))
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))

    def check_healthy(self):
        require(self.alive(), "the server ended with status %s: %s" % (self.child.returncode, self.stderr()[-300:]))
        require("panicked" not in self.stderr(), "the server panicked: " + self.stderr()[-300:])


def clients(checks, programs, language):
    server = Server(programs, "tls.echo_server." + language)
    peer = Peer(foreign_clients.COMMANDS[language] + [server.url], "tls.client." + language)
    prefix = "%s client over TLS: " % language
    try:
        checks.run(prefix + "runs to its end", foreign_clients.relay, checks, peer, prefix)
        checks.run(prefix + "the server is still there, without a panic", server.check_healthy)
    finally:
        peer.stop()
        server.stop()


def servers(checks, programs, language):
    command = foreign_servers.COMMANDS[language]
    peer = Peer(command + identity("server"), "tls.server." + language)
    prefix = "%s server over TLS: " % language
    client = [str(programs / "echo_client")]
    try:
        hello = peer.event(20)
        url = "wss://localhost:%d" % hello["port"]
        for name, check in foreign_servers.CHECKS:
            checks.run(prefix + name, check, client, url, peer)
        checks.run(prefix + "fuzzing client runs to its end", foreign_servers.fuzz, checks,
                   [str(programs / "autobahn_client")], url, peer, hello["cases"], prefix)
    finally:
        peer.stop()
    for certificate, says in (("alien", "not signed by an authority"), ("other", "not valid for name")):
        checks.run("%sthe certificate `%s` is refused, and why is said" % (prefix, certificate),
                   refused, client, command + identity(certificate), says)


def refused(client, command, says):
    """The client fails with one line, and the server never sees a connection."""
    peer = Peer(command, "tls.refused")
    try:
        url = "wss://localhost:%d/echo?id=1" % peer.event(20)["port"]
        run = Run(client + [url, "hello"], 20)
        require(run.status == 1 and run.stdout == "", "status %d, %r" % (run.status, run.stdout))
        require(says in run.stderr and run.stderr.count("\n") == 1, "standard error %r" % run.stderr)
        try:
            event = peer.event(0.3)
        except Failed:
            return run.stderr.strip()
        raise Failed("the server saw %s" % event)
    finally:
        peer.stop()


def port(checks, programs):
    server = Server(programs, "tls.echo_server.port")
    try:
        for name, check in PORT_CHECKS:
            checks.run("port: " + name, check, server)
        checks.run("port: the server is still there, without a panic", server.check_healthy)
    finally:
        server.stop()


def page(version):
    def check(server):
        context = ssl.create_default_context(cafile=ROOTS)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection(server.address, 10) as tcp, context.wrap_socket(tcp, server_hostname="localhost") as tls:
            require(tls.selected_alpn_protocol() == "http/1.1", "ALPN chose %s" % tls.selected_alpn_protocol())
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b"".join(iter(lambda: tls.recv(65536), b""))
            require(answer.startswith(b"HTTP/1.1 200 ") and b"</html>" in answer, "the answer %r" % answer[:200])
            return "%s, %s" % (tls.version(), tls.cipher()[0])
    return check


def plain_http(server):
    with socket.create_connection(server.address, 10) as tcp:
        tcp.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: tcp.recv(65536), b""))
        require(answer[:2] == b"\x15\x03" and len(answer) == 7, "not an alert: %r" % answer[:100])


def old_version(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ROOTS)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(server.address, 10) as tcp:
        try:
            context.wrap_socket(tcp, server_hostname="localhost")
        except ssl.SSLError as error:
            require("alert" in str(error).lower(), str(error))
            return str(error)
    raise Failed("TLS 1.1 was accepted")


PORT_CHECKS = [
    ("a page over TLS 1.2", page(ssl.TLSVersion.TLSv1_2)),
    ("a page over TLS 1.3", page(ssl.TLSVersion.TLSv1_3)),
    ("plain HTTP is answered by an alert", plain_http),
    ("TLS 1.1 is refused", old_version),
]

SECTIONS = {
    "port": port,
    "node-client": lambda checks, programs: clients(checks, programs, "node"),
    "python-client": lambda checks, programs: clients(checks, programs, "python"),
    "node-server": lambda checks, programs: servers(checks, programs, "node"),
    "python-server": lambda checks, programs: servers(checks, programs, "python"),
}


def main():
    parser = argparse.ArgumentParser(prog="conformance/tls", description=__doc__)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="of %s; all when none is named" % ", ".join(SECTIONS))
    options = parser.parse_args()
    for section in options.sections:
        if section not in SECTIONS:
            parser.error("no section %s" % section)
    os.environ.update(TRUST)
    stop_at_exit()
    checks = Checks()
    for section in options.sections or SECTIONS:
        try:
            SECTIONS[section](checks, options.programs)
        except Exception as error:
            checks.record(section + " could not start", "FAIL", 0, error)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
