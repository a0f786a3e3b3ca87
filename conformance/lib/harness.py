"""What the conformance scripts share: one printed line per check, child processes that never
outlive the script, and the programs under test.
"""
import atexit
import functools
import json
import os
import pathlib
import queue
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent
OUT = HERE / "out"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
PYTHON = str(CACHE / "ws-conformance" / "venv" / "bin" / "python")


class Failed(Exception):
    """A check found something other than what it requires."""


class NotRun(Exception):
    """A check does not apply; its text says why."""


def require(condition, message):
    if not condition:
        raise Failed(message)


class Checks:
    """Prints one line per check and remembers the outcome."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.started = time.monotonic()

    def run(self, name, function, *args):
        """Run one check; what it returns, if anything, is printed behind its name."""
        start = time.monotonic()
        try:
            detail = function(*args) or ""
            outcome = "ok"
        except NotRun as reason:
            outcome, detail = "not run", str(reason)
        except Exception as error:  # a broken check must not hide the ones after it
            outcome, detail = "FAIL", describe(error)
        self.record(name, outcome, time.monotonic() - start, detail)
        return outcome == "ok"

    def record(self, name, outcome, seconds, detail=""):
        self.passed += outcome == "ok"
        self.failed += outcome == "FAIL"
        self.skipped += outcome == "not run"
        detail = re.sub(r"\s+", " ", str(detail))
        print("%-7s %8.3f s  %s%s" % (outcome, seconds, name, ": " + detail[:400] if detail else ""), flush=True)

    def finish(self):
        """Print the totals; the script's exit status."""
        print("%d ok, %d failed, %d not run, %.1f s" % (
            self.passed, self.failed, self.skipped, time.monotonic() - self.started), flush=True)
        return 1 if self.failed or not self.passed else 0


def describe(error):
    if isinstance(error, (Failed, NotRun)):
        return str(error)
    return "%s: %s" % (type(error).__name__, error)


class Process:
    """A child in a process group of its own. Its output goes to a file in conformance/out."""

    running = []

    def __init__(self, command, name, stdin=subprocess.PIPE):
        OUT.mkdir(exist_ok=True)
        self.command = command
        self.stderr_path = OUT / (name + ".stderr")
        try:
            self.child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE,
                                          stderr=open(self.stderr_path, "wb"), start_new_session=True)
        except OSError as error:
            raise Failed("cannot start %s: %s" % (command[0], error))
        Process.running.append(self)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line.decode(errors="replace").rstrip("\n"))
        self.lines.put(None)

    def line(self, seconds):
        """The next line of standard output, or None at its end."""
        try:
            return self.lines.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            raise Failed("no output from %s within %.0f s" % (self.command[0], seconds))

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def stop(self):
        if self in Process.running:
            Process.running.remove(self)
        end_group(self.child)


def end_group(child):
    """End one process group that was started here."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
        except OSError:
            pass
        try:
            child.wait(3)
            return
        except subprocess.TimeoutExpired:
            pass


def stop_all():
    while Process.running:
        Process.running[-1].stop()


def stop_at_exit():
    """Also when the script itself is ended, nothing it started stays."""
    atexit.register(stop_all)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, frame: sys.exit(128 + number))


class Peer(Process):
    """A foreign program that prints one JSON object per line and ends when its input does."""

    def event(self, seconds):
        line = self.line(seconds)
        if line is None:
            last = (self.stderr().strip().splitlines() or ["no message"])[-1]
            raise Failed("the peer ended: " + last)
        try:
            return json.loads(line)
        except ValueError:
            raise Failed("unexpected output of the peer: " + line[:200])


class Server(Process):
    """echo_server on a free port; `address` is what its first line says."""

    def __init__(self, command, *options, name="echo_server"):
        super().__init__(shlex.split(command) + ["127.0.0.1:0", *options], name, stdin=subprocess.DEVNULL)
        try:
            line = self.line(20)
            match = re.match(r"listening on ws://(127\.0\.0\.1):(\d+)/?$", line or "")
            require(match, "the server's first line is %r, not `listening on ws://ADDR`; standard error: %s"
                    % (line, self.stderr()[-300:]))
        except Failed:
            self.stop()
            raise
        self.address = (match[1], int(match[2]))
        self.url = "ws://%s:%s" % (match[1], match[2])

    def check_healthy(self):
        require(self.alive(), "the server ended with status %s: %s" % (self.child.returncode, self.stderr()[-300:]))
        require("panicked" not in self.stderr(), "the server panicked: " + self.stderr()[-300:])


class Run:
    """The outcome of a program that ran to its end."""

    def __init__(self, command, seconds, stdin=None):
        self.seconds = seconds
        child = subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            stdout, stderr = child.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            end_group(child)
            child.communicate()
            raise Failed("%s did not end within %d s" % (command[0], seconds))
        except BaseException:
            end_group(child)
            raise
        self.status = child.returncode
        self.stdout = stdout.decode(errors="replace")
        self.stderr = stderr.decode(errors="replace")


@functools.cache
def examples():
    """The folder of the example programs, which are brought up to date first."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--examples"], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=1800)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "examples"


def example(name):
    """The command of an example program."""
    return shlex.quote(str(examples() / name))


def closed_port():
    """A port of the loopback address on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
