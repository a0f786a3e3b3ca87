"""Tests our client through foreign proxies, and our server behind them. conformance/proxies runs this."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))

from harness import ROOT, Checks, Process, Run, closed_port, require, stop_at_exit
import reverse

CERTIFICATES = ROOT / "ws-std" / "tests" / "certificates"
# Only squid can resolve this name, with its own hosts file.
NAME = "server.invalid"
# The password has characters that must be percent-encoded in a URL.
USER, PASSWORD = "user", "p:a/s s"
LOGIN = "user:p%3Aa%2Fs%20s@"
WRONG = "user:wrong-password@"
# How long a tunnel through tinyproxy or squid may be silent in these checks, in seconds.
IDLE = 1


class Proxy(Process):
    """A proxy on a port of its own. With `login`, it asks for credentials."""

    def __init__(self, name, login):
        self.port = closed_port()
        self.scheme = "socks5" if name == "microsocks" else "http"
        # The folder is below /tmp, because squid reads its files as another user.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ws-proxies."))
        self.folder.chmod(0o755)
        command = getattr(self, name)(login)
        super().__init__(command, "proxies.%s%s" % (name, ".login" if login else ""), stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                require(self.alive() and time.monotonic() < deadline, "%s does not listen: %s" % (name, self.stderr()[-300:]))
                time.sleep(0.05)

    def write(self, name, *lines):
        path = self.folder / name
        path.write_text("".join(line + "\n" for line in lines))
        path.chmod(0o644)
        return str(path)

    def tinyproxy(self, login):
        lines = ["Port %d" % self.port, "Listen 127.0.0.1", "Timeout %d" % IDLE, "MaxClients 20", "LogLevel Warning"]
        # Its configuration does not allow a password with special characters.
        lines += ["BasicAuth user plain"] if login else []
        return ["tinyproxy", "-d", "-c", self.write("tinyproxy.conf", *lines)]

    def squid(self, login):
        hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True)
        passwords = self.write("passwords", "%s:%s" % (USER, hashed.stdout.strip()))
        hosts = self.write("hosts", "127.0.0.1 localhost " + NAME)
        lines = ["http_port 127.0.0.1:%d" % self.port, "hosts_file " + hosts, "pid_filename none", "cache deny all",
                 "access_log none", "cache_log stdio:/dev/null", "coredump_dir /tmp", "shutdown_lifetime 0 seconds",
                 "via off", "pinger_enable off",
                 # It counts whole seconds of the clock, so that this time-out can end a tunnel up to a second too early.
                 "read_timeout %d seconds" % (IDLE + 1)]
        if login:
            lines += ["auth_param basic program /usr/lib/squid/basic_ncsa_auth " + passwords,
                      "auth_param basic realm proxy", "acl users proxy_auth REQUIRED", "http_access allow users",
                      "http_access deny all"]
        else:
            lines += ["http_access allow all"]
        return ["squid", "-N", "-f", self.write("squid.conf", *lines)]

    def microsocks(self, login):
        credentials = ["-u", USER, "-P", PASSWORD] if login else []
        return ["microsocks", "-i", "127.0.0.1", "-p", str(self.port), *credentials]

    def url(self, login=""):
        return "%s://%s127.0.0.1:%d" % (self.scheme, login, self.port)

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Server(Process):
    """echo_server on a free port."""

    def __init__(self, programs, *options):
        name = "proxies.echo_server" + (".tls" if options else "")
        super().__init__([str(programs / "echo_server"), "127.0.0.1:0", "--host", NAME, *options], name, stdin=subprocess.DEVNULL)
        line = self.line(20) or ""
        match = re.match(r"listening on (wss?)://127\.0\.0\.1:(\d+)$", line)
        require(match, "the first line is %r: %s" % (line, self.stderr()[-300:]))
        self.scheme, self.port = match[1], int(match[2])

    def url(self, host):
        return "%s://%s:%d/" % (self.scheme, host, self.port)


class Client:
    """Runs `ws connect` through a proxy."""

    def __init__(self, programs):
        self.program = str(programs / "ws")

    def run(self, proxy, url, *options, lines=()):
        stdin = "".join(line + "\n" for line in lines).encode()
        return Run([self.program, "connect", url, "--proxy", proxy, *options], 30, stdin)

    def echo(self, proxy, url):
        lines = ["hello", "Grüße", "x" * 1_000_000]
        run = self.run(proxy, url, lines=lines)
        require(run.status == 0, "status %d: %s" % (run.status, run.stderr))
        require(run.stdout.splitlines() == lines, "it prints %r" % run.stdout[:200])

    def pings(self, proxy, url):
        """Pings, Pongs and close codes pass through the proxy in both directions."""
        process = Process([self.program, "connect", url, "--proxy", proxy, "--ping-interval", "100ms", "--trace", "--stay"],
                          "proxies.pings")
        try:
            deadline = time.monotonic() + 20
            while process.stderr().count("< pong") < 3:
                require(process.alive() and time.monotonic() < deadline, "no pongs: " + process.stderr()[-300:])
                time.sleep(0.05)
            process.child.send_signal(2)
            require(process.child.wait(20) == 0, "status %s: %s" % (process.child.returncode, process.stderr()[-300:]))
            require('< close, 2 bytes: 1000 ""' in process.stderr(), "no Close came back: " + process.stderr()[-300:])
        finally:
            process.stop()

    def idle(self, proxy, url):
        """Through a proxy that ends silent tunnels, pings keep a connection open. Without them, the client says what happened."""
        command = [self.program, "connect", url, "--proxy", proxy, "--stay", "--ping-interval"]
        started = []
        try:
            for interval in ("%dms" % (IDLE * 200), "60m"):
                started.append(Process([*command, interval], "proxies.idle-" + interval))
            pinging, silent = started
            reverse.wait_for(lambda: all("open" in client.stderr() for client in started), "not open: " + silent.stderr()[-300:])
            begin = time.monotonic()
            reverse.wait_for(lambda: not silent.alive(), "a silent connection does not end")
            ended = time.monotonic() - begin
            require(silent.child.wait(20) == 1 and "the connection ended: lost without a Close frame" in silent.stderr(),
                    "the client on the silent connection prints " + silent.stderr()[-300:])
            time.sleep(max(0, begin + 5 * IDLE - time.monotonic()))
            require(pinging.alive(), "pings do not keep the connection open: " + pinging.stderr()[-300:])
            pinging.child.send_signal(2)
            require(pinging.child.wait(20) == 0, "status %s: %s" % (pinging.child.returncode, pinging.stderr()[-300:]))
            return "the silent one ended after %.1f s" % ended
        finally:
            for process in started:
                process.stop()

    def refused(self, proxy, url, says):
        run = self.run(proxy, url)
        require(run.status == 1 and run.stdout == "", "status %d, %r" % (run.status, run.stdout))
        require(re.search(says, run.stderr) and run.stderr.count("\n") == 1, "standard error %r" % run.stderr)
        require("password" not in run.stderr.replace("user and password", ""), "standard error %r" % run.stderr)
        return run.stderr.strip()


def proxy_checks(checks, client, name, plain, secure):
    login = "user:plain@" if name == "tinyproxy" else LOGIN
    asks, wrong, unreachable = {
        "microsocks": ("none of the authentication methods", "refused user and password", "refused: "),
        "squid": ("status 407, scheme Basic", "status 407, scheme Basic", "status 503 Service Unavailable"),
        # It answers 401 to wrong credentials.
        "tinyproxy": ("status 407, scheme Basic", "status 40[17]", "status 500 Unable to connect"),
    }[name]
    try:
        proxy = Proxy(name, False)
    except Exception as error:
        checks.record("%s starts" % name, "FAIL", 0, error)
        return
    try:
        for server in (plain, secure):
            for host in ("localhost", "127.0.0.1"):
                if server is plain or host == "localhost":
                    checks.run("%s: %s to %s is echoed" % (name, server.scheme, host), client.echo, proxy.url(), server.url(host))
        if name == "squid":
            checks.run("squid: a name that only the proxy knows", client.echo, proxy.url(), plain.url(NAME))
        if name == "microsocks":
            checks.run("microsocks: socks5h is the same", client.echo, proxy.url().replace("socks5", "socks5h"), plain.url("localhost"))
            checks.run("microsocks: a client that speaks HTTP", client.refused, proxy.url().replace("socks5", "http"), plain.url("localhost"),
                       "is it a SOCKS proxy")
        checks.run("%s: credentials that it does not need" % name, client.echo, proxy.url(login), plain.url("localhost"))
        checks.run("%s: idle pings, and the close code" % name, client.pings, proxy.url(), plain.url("localhost"))
        if name == "microsocks":
            checks.record("microsocks: pings outlast its time-out", "not run", 0, "its time-out is always 15 minutes")
        else:
            checks.run("%s: pings outlast its time-out, silence does not" % name, client.idle, proxy.url(), plain.url("localhost"))
        checks.run("%s: a server that does not listen" % name, client.refused, proxy.url(), "ws://127.0.0.1:%d/" % closed_port(), unreachable)
    finally:
        proxy.stop()
    try:
        proxy = Proxy(name, True)
    except Exception as error:
        checks.record("%s with a login starts" % name, "FAIL", 0, error)
        return
    try:
        for server in (plain, secure):
            checks.run("%s with a login: %s is echoed" % (name, server.scheme), client.echo, proxy.url(login), server.url("localhost"))
        checks.run("%s with a login: no credentials" % name, client.refused, proxy.url(), plain.url("localhost"), asks)
        checks.run("%s with a login: wrong credentials" % name, client.refused, proxy.url(WRONG), plain.url("localhost"), wrong)
    finally:
        proxy.stop()


def main():
    programs = pathlib.Path(sys.argv[1])
    forward = ("tinyproxy", "squid", "microsocks")
    names = sys.argv[2:] or [*forward, *reverse.NAMES]
    for name in names:
        if name not in (*forward, *reverse.NAMES):
            sys.exit("proxies: there is no proxy named %s" % name)
    stop_at_exit()
    os.environ["SSL_CERT_FILE"] = str(CERTIFICATES / "ca.pem")
    # The daemons are in a directory that is not on the PATH of every user.
    os.environ["PATH"] += ":/usr/sbin"
    checks = Checks()
    plain = Server(programs)
    secure = Server(programs, "--tls", str(CERTIFICATES / "server.pem"), str(CERTIFICATES / "server.key"))
    for name in names:
        if name in forward:
            proxy_checks(checks, Client(programs), name, plain, secure)
    if not sys.argv[2:]:
        checks.run("a TLS server instead of an HTTP proxy", Client(programs).refused, "http://127.0.0.1:%d" % secure.port,
                   plain.url("localhost"), "it speaks TLS")
    for server in (plain, secure):
        server.stop()
    reverse.reverse_checks(checks, programs, [name for name in names if name in reverse.NAMES])
    return checks.finish()


sys.exit(main())
