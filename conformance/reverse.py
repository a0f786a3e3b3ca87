"""Tests foreign proxies in front of our server, with the configurations of docs/RECIPES.md. proxies.py uses this."""
import base64
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from harness import ROOT, Process, Run, closed_port, require

CERTIFICATES = ROOT / "ws-std" / "tests" / "certificates"
CHAIN, KEY = CERTIFICATES / "server.pem", CERTIFICATES / "server.key"
RECIPES = ROOT / "docs" / "RECIPES.md"
NAMES = ("nginx", "apache", "haproxy", "caddy")
# The address of the server in the recipes.
SERVER = "127.0.0.1:9001"
# The time-out of the proxies for silent connections in these checks, in seconds.
IDLE = 1
LARGE = 8 << 20
# A name of the proxy that is not one of this machine's.
NAME = "www.example.com"


def recipe(name):
    """Returns the configuration that the documentation shows for a proxy."""
    found = re.findall(r"^```%s\n(.*?)^```$" % name, RECIPES.read_text(), re.M | re.S)
    require(len(found) == 1, "%d recipes for %s" % (len(found), name))
    return found[0]


def changed(text, old, new):
    """Returns the text with `old`, which must occur once, replaced by `new`."""
    require(text.count(old) == 1, "%r occurs %d times in the recipe" % (old, text.count(old)))
    return text.replace(old, new)


def without(text, start):
    """Returns the text without the line that begins with `start`. There must be exactly one."""
    lines = text.splitlines(True)
    left = [line for line in lines if not line.strip().startswith(start)]
    require(len(lines) - len(left) == 1, "%d lines begin with %r" % (len(lines) - len(left), start))
    return "".join(left)


class Reverse(Process):
    """A proxy in front of a server, by default on a port of its own. `change` edits the configuration of the recipe."""

    def __init__(self, name, server, secure=False, change=lambda text: text, port=None):
        self.port = port or closed_port()
        self.secure = secure
        # The folder is below /tmp, because apache runs as another user.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ws-proxies."))
        self.folder.chmod(0o755)
        text = changed(change(recipe(name)), SERVER, "127.0.0.1:%d" % server)
        command = getattr(self, name)(text)
        environment = dict(os.environ, HOME=str(self.folder), XDG_DATA_HOME=str(self.folder), XDG_CONFIG_HOME=str(self.folder))
        super().__init__(["env", *("%s=%s" % (key, environment[key]) for key in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")),
                          *command], "proxies." + name, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if not self.alive() or time.monotonic() > deadline:
                    message = "%s does not listen: %s" % (name, self.stderr()[-300:])
                    self.stop()
                    require(False, message)
                time.sleep(0.02)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def nginx(self, text):
        text = changed(text, "60s", "%ds" % IDLE)
        tls = "ssl_certificate %s; ssl_certificate_key %s;" % (CHAIN, KEY) if self.secure else ""
        paths = "".join("%s_temp_path %s/%s;\n" % (kind, self.folder, kind)
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.write("nginx.conf", (
            "daemon off; master_process off; pid %s/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n%s"
            "server {\nlisten 127.0.0.1:%d%s;\n%s\n%s}\n}\n"
        ) % (self.folder, paths, self.port, " ssl" if self.secure else "", tls, text))
        return ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", config]

    def apache(self, text):
        modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers"]
        tls = ""
        if self.secure:
            modules += ["socache_shmcb", "ssl"]
            tls = "SSLEngine on\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\n" % (CHAIN, KEY)
        loads = "".join("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n" % (name, name) for name in modules)
        # Apache must not run as root.
        user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
        config = self.write("apache.conf", (
            "%s%sServerRoot %s\nDefaultRuntimeDir %s\nPidFile %s/pid\nErrorLog /dev/stderr\nServerName localhost\n"
            "StartServers 1\nThreadsPerChild 16\nMinSpareThreads 1\nMaxSpareThreads 16\nMaxRequestWorkers 16\n"
            "Timeout %d\nListen 127.0.0.1:%d\n%s%s"
        ) % (loads, user, self.folder, self.folder, self.folder, IDLE, self.port, tls, text))
        return ["apache2", "-D", "FOREGROUND", "-f", config]

    def haproxy(self, text):
        text = changed(text, "tunnel 60s", "tunnel %ds" % IDLE)
        listen = "bind 127.0.0.1:%d" % self.port
        if self.secure:
            listen += " ssl crt " + self.write("both.pem", CHAIN.read_text() + KEY.read_text())
        text = changed(text, "bind :80", listen)
        return ["haproxy", "-db", "-f", self.write("haproxy.conf", "global\n    maxconn 100\n\n" + text)]

    def caddy(self, text):
        scheme, tls = ("https", "    tls %s %s\n" % (CHAIN, KEY)) if self.secure else ("http", "")
        # By default Caddy has no such time-out.
        timed = "reverse_proxy 127.0.0.1:\\1 {\n        transport http {\n            read_timeout %ds\n        }\n    }" % IDLE
        text = re.sub(r"reverse_proxy 127\.0\.0\.1:(\d+)$", timed, text, flags=re.M)
        names = ", ".join("%s://%s:%d" % (scheme, name, self.port) for name in ("localhost", NAME))
        text = changed(text, NAME + " {\n", names + " {\n    bind 127.0.0.1\n" + tls)
        options = ("{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n"
                   "    servers {\n        protocols h1 h2\n    }\n}\n\n")
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", options + text)]

    def url(self):
        return "%s://localhost:%d/" % ("wss" if self.secure else "ws", self.port)

    def origin(self, host="localhost"):
        return "%s://%s:%d" % ("https" if self.secure else "http", host, self.port)

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Browser:
    """Sends a request to a proxy as a browser does, and reads the answer."""

    def __init__(self, proxy, *fields, upgrade=True, host="localhost"):
        self.stream = socket.create_connection(("127.0.0.1", proxy.port), 10)
        if proxy.secure:
            context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
            self.stream = context.wrap_socket(self.stream, server_hostname="localhost")
        self.stream.settimeout(10)
        lines = ["GET / HTTP/1.1", "Host: %s:%d" % (host, proxy.port)]
        if upgrade:
            key = base64.b64encode(os.urandom(16)).decode()
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key]
        else:
            lines += ["Connection: close"]
        self.stream.sendall("\r\n".join([*lines, *fields, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.stream.recv(1)
            require(byte, "the head of the answer is cut short: %r" % head)
            head += byte
        self.status = int(head.split()[1])

    def rest(self):
        """Returns everything that arrives until the end of the stream."""
        parts = []
        while True:
            part = self.stream.recv(65536)
            if not part:
                return b"".join(parts)
            parts.append(part)

    def close(self, code):
        """Sends a Close frame, and returns everything that arrives until the end of the stream."""
        payload = struct.pack(">H", code)
        self.stream.sendall(bytes([0x88, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        return self.rest()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()


class Reversed:
    """The checks of one proxy."""

    def __init__(self, checks, programs, name, server):
        self.checks, self.programs, self.name, self.server = checks, programs, name, server
        self.client = str(programs / "ws")

    def run(self):
        for secure in (False, True):
            try:
                proxy = Reverse(self.name, self.server.port, secure)
            except Exception as error:
                self.checks.record("%s starts" % self.name, "FAIL", 0, error)
                return
            try:
                self.of_recipe(proxy)
            finally:
                proxy.stop()
        self.check("the answer if the server is down", self.down)
        self.check("the client's address, even if the client claims another one", self.address)
        for how, change, status in VARIANTS[self.name]:
            self.check("%s: %d for its page" % (how, status), self.page, change, status)
            if status == 403:
                self.check("%s: 101 for its page if the server names the page's origin" % how, self.named_origin, change)
        self.check("a name that is not one of this machine's: 421, or 101 if the server names the host", self.named_host)
        self.check("X-Forwarded-Host of a client: 403 for another page", self.forwarded_host)
        for what, status in NEEDED[self.name]:
            self.check("without %s: %d" % (what, status), self.incomplete, what, status)

    def check(self, what, function, *arguments):
        self.checks.run("%s: %s" % (self.name, what), function, *arguments)

    def of_recipe(self, proxy):
        scheme = "wss" if proxy.secure else "ws"
        for what, function in (
            ("the page and its WebSocket", self.browse),
            ("an echo, %d MiB at a time" % (LARGE >> 20), self.echo),
            ("the close code of a client", self.close_of_client),
            ("the close code of the server", self.close_of_server),
            ("pings outlast its time-out, silence does not", self.idle),
        ):
            self.check("%s: %s" % (scheme, what), function, proxy)

    def browse(self, proxy):
        with Browser(proxy, upgrade=False) as page:
            body = page.rest()
            require(page.status == 200 and b"<!doctype html>" in body and b"</html>" in body, "status %d, %r" % (page.status, body[:100]))
        with Browser(proxy, "Origin: " + proxy.origin()) as ws:
            require(ws.status == 101, "status %d" % ws.status)
        with Browser(proxy, "Origin: http://other.example") as ws:
            require(ws.status == 403, "status %d for another page" % ws.status)

    def echo(self, proxy):
        lines = ["hello", "x" * LARGE, "Grüße"]
        run = Run([self.client, "connect", proxy.url()], 30, "".join(line + "\n" for line in lines).encode())
        require(run.status == 0, "status %d: %s" % (run.status, run.stderr[-300:]))
        require(run.stdout.splitlines() == lines, "it prints %r" % run.stdout[:200])

    def close_of_client(self, proxy):
        for code in (4000, 1000):
            with Browser(proxy) as ws:
                require(ws.status == 101, "status %d" % ws.status)
                rest = ws.close(code)
                require(rest == b"\x88\x02" + struct.pack(">H", code), "%r for %d" % (rest, code))
        wait_for(lambda: "closed, 4000" in self.server.stderr(), "the server saw no 4000: " + self.server.stderr()[-300:])

    def close_of_server(self, proxy):
        small = Server(self.programs, "echo_server", "--max-message", "10")
        try:
            with_limit = Reverse(self.name, small.port, proxy.secure)
            try:
                run = Run([self.client, "connect", with_limit.url(), "--stay"], 30, b"more than ten bytes\n")
            finally:
                with_limit.stop()
        finally:
            small.stop()
        require(run.status == 1 and "1009" in run.stderr, "status %d: %s" % (run.status, run.stderr[-300:]))

    def idle(self, proxy):
        often, never = "%dms" % (IDLE * 200), "60m"
        started = []

        def start(process):
            started.append(process)
            return process

        def connect(proxy, interval, name):
            return start(Process([self.client, "connect", proxy.url(), "--stay", "--trace", "--ping-interval", interval],
                                 "proxies." + name))

        try:
            server = start(Server(self.programs, "ws", "serve", "--echo", "--ping-interval", often))
            of_server = connect(start(Reverse(self.name, server.port, proxy.secure)), never, "pinged")
            of_client = connect(proxy, often, "pinging")
            silent = connect(proxy, never, "silent")
            for client in (of_server, of_client, silent):
                wait_for(lambda: "\nopen" in client.stderr(), "not open: " + client.stderr()[-300:])
            begin = time.monotonic()
            wait_for(lambda: not silent.alive(), "a silent connection does not end")
            require("lost" in silent.stderr(), "the client on the silent connection prints " + silent.stderr()[-300:])
            time.sleep(max(0, begin + 2.5 * IDLE - time.monotonic()))
            for client in (of_server, of_client):
                require(client.alive(), "pings do not keep the connection open: " + client.stderr()[-300:])
                client.child.send_signal(signal.SIGINT)
                require(client.child.wait(20) == 0, "status %s: %s" % (client.child.returncode, client.stderr()[-300:]))
                require('< close, 2 bytes: 1000 ""' in client.stderr(), "no Close came back: " + client.stderr()[-300:])
        finally:
            for process in reversed(started):
                process.stop()

    def down(self):
        proxy = Reverse(self.name, closed_port())
        try:
            run = Run([self.client, "connect", proxy.url()], 30, b"")
        finally:
            proxy.stop()
        require(run.status == 1 and re.search("the server refused: (status )?50[23]", run.stderr), "status %d: %s" % (run.status, run.stderr))
        return run.stderr.strip()

    def address(self):
        server = Server(self.programs, "ws", "serve", "--trace")
        try:
            proxy = Reverse(self.name, server.port)
            try:
                said = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2", "Forwarded: for=192.0.2.3")
                with Browser(proxy, *said) as ws:
                    require(ws.status == 101, "status %d" % ws.status)
                    ws.close(1000)
            finally:
                proxy.stop()
            found = re.findall(r"< (?:X-)?Forwarded(?:-For)?: (.*)", server.stderr(), re.I)
        finally:
            server.stop()
        # Each proxy replaces only one of the two fields.
        require(sorted(found) == ["127.0.0.1", "for=192.0.2.3"], "the server received %r" % found)

    def page(self, change, status):
        """Opens a WebSocket from the proxy's own page."""
        proxy = Reverse(self.name, self.server.port, change=change)
        try:
            with Browser(proxy, "Origin: " + proxy.origin()) as ws:
                require(ws.status == status, "status %d" % ws.status)
            # Programs other than browsers send no Origin.
            with Browser(proxy) as ws:
                require(ws.status == 101, "status %d without an Origin" % ws.status)
        finally:
            proxy.stop()

    def named_origin(self, change):
        """Opens a WebSocket from the proxy's own page, and from another one, if the server names the first."""
        port = closed_port()
        server = Server(self.programs, "echo_server", "--origin", "http://localhost:%d" % port)
        try:
            proxy = Reverse(self.name, server.port, change=change, port=port)
            try:
                for origin, status in ((proxy.origin(), 101), ("http://other.example", 403)):
                    with Browser(proxy, "Origin: " + origin) as ws:
                        require(ws.status == status, "status %d for a page of %s" % (ws.status, origin))
            finally:
                proxy.stop()
        finally:
            server.stop()

    def named_host(self):
        """Opens a WebSocket from the proxy's own page under a name that the server does, or does not, answer to."""
        named = Server(self.programs, "echo_server", "--host", NAME)
        try:
            for server, status in ((self.server, 421), (named, 101)):
                proxy = Reverse(self.name, server.port)
                try:
                    with Browser(proxy, "Origin: " + proxy.origin(NAME), host=NAME) as ws:
                        require(ws.status == status, "status %d instead of %d" % (ws.status, status))
                finally:
                    proxy.stop()
        finally:
            named.stop()

    def forwarded_host(self):
        """The server does not believe this header, because a proxy may pass it on as the client wrote it."""
        proxy = Reverse(self.name, self.server.port)
        try:
            for claimed, origin, status in (("other.example", "http://other.example", 403), ("other.example", proxy.origin(), 101)):
                with Browser(proxy, "X-Forwarded-Host: " + claimed, "Origin: " + origin) as ws:
                    require(ws.status == status, "status %d for a page of %s" % (ws.status, origin))
        finally:
            proxy.stop()

    def incomplete(self, what, status):
        """Checks the answer if the proxy does not pass the upgrade on."""
        proxy = Reverse(self.name, self.server.port, change=lambda text: re.sub("( |^ *)%s.*\\n" % what, "\\n", text, flags=re.M))
        try:
            run = Run([self.client, "connect", proxy.url()], 30, b"")
        finally:
            proxy.stop()
        require(run.status == 1 and re.search("the server refused: (status )?%d" % status, run.stderr), "status %d: %s" % (run.status, run.stderr))
        return run.stderr.strip()


class Server(Process):
    """One of our programs, running as a server on a free port."""

    def __init__(self, programs, program, *options):
        command = [str(programs / program), *(options[:1] if program == "ws" else ()), "127.0.0.1:0", *options[program == "ws":]]
        super().__init__(command, "proxies.server." + program, stdin=subprocess.DEVNULL)
        line = self.line(20) or ""
        match = re.match(r"listening on ws://127\.0\.0\.1:(\d+)$", line)
        require(match, "the first line is %r: %s" % (line, self.stderr()[-300:]))
        self.port = int(match[1])


def wait_for(condition, message):
    deadline = time.monotonic() + 20
    while not condition():
        require(time.monotonic() < deadline, message)
        time.sleep(0.02)


# The usual ways to set the Host, and the status that the proxy's own page then gets.
VARIANTS = {
    "nginx": [
        ("$http_host", lambda text: text, 101),
        ("without proxy_set_header Host", lambda text: without(text, "proxy_set_header Host"), 403),
        ("$host on another port", lambda text: changed(text, "$http_host", "$host"), 403),
        ("X-Forwarded-Host instead of Host", lambda text: changed(text, "proxy_set_header Host", "proxy_set_header X-Forwarded-Host"), 403),
        ("$host:$server_port", lambda text: changed(text, "$http_host", "$host:$server_port"), 101),
    ],
    "apache": [
        ("ProxyPreserveHost On", lambda text: text, 101),
        ("without ProxyPreserveHost", lambda text: without(text, "ProxyPreserveHost"), 403),
    ],
    "haproxy": [
        ("as it is", lambda text: text, 101),
        ("http-request set-header Host",
         lambda text: changed(text, "    default_backend", "    http-request set-header Host localhost\n    default_backend"), 403),
    ],
    "caddy": [
        ("as it is", lambda text: text, 101),
        ("header_up Host {upstream_hostport}",
         lambda text: changed(text, "reverse_proxy " + SERVER, "reverse_proxy %s {\n        header_up Host {upstream_hostport}\n    }" % SERVER), 403),
    ],
}


# The settings that the upgrade needs, and the status that a client gets without each of them. HTTP/1.0 has no upgrade,
# so the server answers as it answers any request. An incomplete upgrade request is an error.
NEEDED = {
    "nginx": [("proxy_http_version", 426), ("proxy_set_header Upgrade", 400), ("proxy_set_header Connection", 400)],
    "apache": [("upgrade=websocket", 400)],
    "haproxy": [],
    "caddy": [],
}


def reverse_checks(checks, programs, names):
    server = Server(programs, "echo_server")
    try:
        for name in names:
            Reversed(checks, programs, name, server).run()
    finally:
        server.stop()
