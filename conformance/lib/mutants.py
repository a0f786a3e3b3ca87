"""Builds that are broken on purpose: the tests of the requirements they break have to fail."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from harness import Failed, require

# What is copied: all that cargo needs to build and test the two crates.
TREE = ("Cargo.toml", "Cargo.lock", "ws-core", "ws-std", "examples", "fuzz/corpus", "fuzz/oracles")

# How many seconds a build or a run of its tests may take.
PATIENCE = 300

# Layer, what is broken, the text and what takes its place, the rows of the table that see it. The text stands
# behind a comment `// mutant: WHAT IS BROKEN`, which moves with the code when that moves.
MUTANTS = (
    ("frame", "125 bytes in a 16-bit length",
     "if len < 126 {", "if len < 125 {", (99,)),
    ("frame", "the mask's phase runs backwards",
     'rotate_right(bits)', 'rotate_left(bits)', (106, 145)),
    ("frame", "close codes 1004 to 1006 are accepted",
     '1000..=1003 | 1007..=1014 |', '1000..=1014 |', (163, 164)),
    ("connection", "a server takes frames without mask",
     'Role::Server if !masked =>', 'Role::Server if !masked && bytes.is_empty() =>', (90,)),
    ("connection", "a Pong without its payload",
     'self.pong_len = Some(payload.len() as u8);', 'self.pong_len = Some(0);', (131,)),
    ("connection", "the limit of a message counts one frame only",
     'if message_len > self.max_message &&', 'if len > self.max_message &&', (172,)),
    ("connection", "a Close frame is not answered",
     'self.close = CloseFrameState::Due(code);', 'let _ = code;', (123, 156)),
    ("handshake", "a GUID that is not the RFC's",
     'C5AB0DC85B11', 'C5AB0DC85B12', (58,)),
    ("handshake", "version 8 is accepted",
     'Some(b"13") => Ok(())', 'Some(b"13" | b"8") => Ok(())', (43,)),
    ("handshake", "any Sec-WebSocket-Accept will do",
     'Some(_) => return Err(HandshakeError::WrongAccept),', 'Some(_) => {}', (30, 33)),
    ("endpoint", "one masking key for all frames",
     'self.used = self.used.saturating_add(4);', '', (103,)),
    ("endpoint", "frames before the handshake is over",
     'self.state == ConnectionState::Open\n            && self.close == CloseFrameState::No', 'self.state != ConnectionState::Over\n            && self.close == CloseFrameState::No', (26,)),
    ("endpoint", "every origin is admitted",
     'if admitted { Ok(()) }', 'if admitted || !host.is_empty() { Ok(()) }', (50,)),
    ("ws-std", "a fragment is sent to the server",
     "if rest.contains('#') {", "if rest.starts_with('#') {", (1,)),
    ("ws-std", "wss has the port of ws",
     'if secure { 443 } else { 80 }', 'if secure { 80 } else { 80 }', (3,)),
    ("ws-std", "the last Close frame stays unwritten",
     "match sending.try_write(self) {",
     "match Ok(Written::Nothing).and_then(|none| if false { sending.try_write(self) } else { Ok(none) }) {", (156,)),
    ("ws-std", "nonces and masking keys are zeros",
     'getrandom::fill(bytes)', 'getrandom::fill(&mut bytes[..0])', (20, 104)),
)


def run(checks, rows, root):
    with tempfile.TemporaryDirectory(prefix="ws-mutants-") as folder:
        copy = pathlib.Path(folder)
        for name in TREE:
            source = root / name
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                # As new files: cargo must not take the last mutant's build for theirs.
                shutil.copytree(source, target, copy_function=shutil.copyfile,
                                ignore=shutil.ignore_patterns("target", "artifacts"))
            elif source.exists():
                shutil.copyfile(source, target)
        cargo = Cargo(copy, pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "mutants")
        wanted = sorted({test for mutant in MUTANTS for test in tests_of(mutant, rows)})
        if not checks.run("without a fault the %d tests pass" % len(wanted), passing, cargo, wanted):
            return
        for mutant in MUTANTS:
            checks.run("%s: %s" % (mutant[0], mutant[1]), noticed, cargo, copy, mutant, rows)


def tests_of(mutant, rows):
    for number in mutant[-1]:
        yield from rows[number].tests()


def passing(cargo, wanted):
    results = cargo.test(wanted)
    bad = ["%s::%s" % test for test in wanted if results.get(test) != "ok"]
    require(not bad, "not ok: " + ", ".join(bad))


def find(copy, what, old):
    """The file, its text and the place of what is to be replaced."""
    mark = "// mutant: %s\n" % what
    hits = [path for crate in ("ws-core", "ws-std") for path in (copy / crate / "src").rglob("*.rs")
            if mark in path.read_text()]
    require(len(hits) == 1 and hits[0].read_text().count(mark) == 1, "the comment is not there once: %s" % mark.strip())
    source = hits[0].read_text()
    start = source.index(mark) + len(mark)
    place = source.find(old, start)
    require(0 <= place <= start + 200, "the text to replace is not behind its comment: %r" % old)
    return hits[0], source, place


def noticed(cargo, copy, mutant, rows):
    """Each of the rows has a test that fails."""
    _, what, old, new, numbers = mutant
    path, source, place = find(copy, what, old)
    path.write_text(source[:place] + new + source[place + len(old):])
    try:
        results = cargo.test(sorted(set(tests_of(mutant, rows))))
    finally:
        path.write_text(source)
    failed = {test for test, result in results.items() if result == "FAILED"}
    for number in numbers:
        require(failed & set(rows[number].tests()), "no test of row %d notices" % number)
    return "%d tests notice" % len(failed)


class Cargo:
    def __init__(self, tree, target):
        self.tree = tree
        self.environment = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_TERM_COLOR="never",
                                CARGO_PROFILE_DEV_DEBUG="0", RUST_BACKTRACE="0")
        self.environment.pop("RUSTFLAGS", None)

    def test(self, tests):
        """Runs these tests; the result of each by (file, name)."""
        results = {}
        for package in ("ws-core", "ws-std"):
            files = {file for file, _ in tests if file.startswith(package + "/")}
            if files:
                results.update(self._test(package, files, tests))
        return results

    def _test(self, package, files, tests):
        targets = []
        for file in sorted(files):
            path = pathlib.Path(file)
            target = ["--test", path.stem] if path.parts[1] == "tests" else ["--lib"]
            if target != ["--lib"] or "--lib" not in targets:
                targets += target
        command = ["cargo", "test", "--locked", "--no-fail-fast", "-p", package] + targets
        status, output = self._run(command + ["--no-run"])
        require(status == 0, "does not build: " + output[-300:])
        _, output = self._run(command + ["--"] + sorted({name for file, name in tests if file in files}))
        results = {}
        running = None
        for line in output.splitlines():
            start = re.match(r"\s+Running (?:unittests )?(\S+\.rs) ", line)
            test = re.match(r"test (?:(\S+)::)?(\w+) \.\.\. (ok|FAILED)", line)
            if start:
                running = start[1]
            elif test:
                module, name, result = test.groups()
                results.update({(file, name): result for file in files
                                if (file, name) in tests and lies_in(file, package, running, module)})
        return results

    def _run(self, command):
        child = subprocess.Popen(command, cwd=self.tree, env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            output, _ = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("takes more than %d s: %s" % (PATIENCE, " ".join(command)))
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        return child.returncode, output


def lies_in(file, package, running, module):
    """Whether a test of the target `running` with this path of modules lies in the file."""
    if running != "src/lib.rs":
        return file == "%s/%s" % (package, running)
    return "/src/" in file and (module or "").split("::")[-2:-1] == [pathlib.Path(file).stem]
