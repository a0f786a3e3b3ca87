"""Which regions of ws-core the tests execute; started by conformance/coverage."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))

import harness
from harness import ROOT, Checks, require

SOURCE = ROOT / "ws-core" / "src"
LIST = HERE / "coverage-uncovered.tsv"
REPORT = HERE / "coverage.md"
OUT = harness.OUT / "coverage"
# The kind of a region that is code; others are macros, gaps and what was skipped.
CODE = 0


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tools():
    """llvm-profdata and llvm-cov, from rustup or Debian."""
    version = output("rustc", "-vV")
    host, llvm = re.search("host: (.*)", version)[1], re.search(r"LLVM version: (\d+)", version)[1]
    rustup = pathlib.Path(output("rustc", "--print", "sysroot").strip()) / "lib/rustlib" / host / "bin"
    folder = rustup if (rustup / "llvm-cov").exists() else pathlib.Path("/usr/lib/llvm-%s/bin" % llvm)
    return folder / "llvm-profdata", folder / "llvm-cov"


def measure():
    """Runs the tests, and leaves the counts in OUT: one file for each program, because llvm-cov shows a function that is
    inlined into the programs as not executed if the first program that it reads has not called it."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    # Only ws-core is instrumented: cargo passes the compiler of the workspace's own crates to the wrapper.
    wrapper = OUT / "rustc"
    wrapper.write_text('#!/bin/sh\nexec "$@" -Cinstrument-coverage\n')
    wrapper.chmod(0o755)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "coverage"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0",
                   "CARGO_PROFILE_DEV_DEBUG": "0", "RUSTC_WORKSPACE_WRAPPER": str(wrapper),
                   # The same random cases each time, so that the regions are the same, too.
                   "PROPTEST_RNG_SEED": "6455",
                   "LLVM_PROFILE_FILE": str(OUT / "%p-%m.profraw")}
    command = ["cargo", "test", "--locked", "--package", "ws-core", "--all-features", "--lib", "--tests",
               "--config", 'profile.dev.package."*".opt-level=2']
    built = subprocess.run([*command, "--no-run", "--message-format", "json"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    require(built.returncode == 0, "the tests are not built: " + built.stderr[-300:])
    programs = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    with open(OUT / "tests.log", "w") as log:
        ran = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    require(ran.returncode == 0, "the tests fail: %s" % log.name)
    profdata, cov = tools()
    merged = OUT / "merged.profdata"
    subprocess.run([profdata, "merge", "-sparse", *OUT.glob("*.profraw"), "-o", merged], check=True)
    for program in filter(None, programs):
        with open(OUT / (pathlib.Path(program).name + ".json"), "w") as file:
            subprocess.run([cov, "export", program, "-instr-profile", merged, "-sources", SOURCE], check=True, stdout=file,
                           stderr=subprocess.DEVNULL)
    return "%d programs" % len(list(filter(None, programs)))


class File:
    """A source file: its lines, and which of them are tests."""

    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(SOURCE))
        self.lines = path.read_text().splitlines()
        self.tests = set()
        self.test_modules = set()
        for at, line in enumerate(self.lines):
            if not re.match(r"#\[cfg\((test\b|all\(test\b)", line):
                continue
            # Other attributes may follow.
            item = next(text for text in self.lines[at + 1:] if not text.startswith("#["))
            module = re.match(r"mod (\w+)([ ;])", item)
            if module and module[2] == ";":
                folder = path.parent if path.name in ("mod.rs", "lib.rs") else path.with_suffix("")
                self.test_modules.add(folder / (module[1] + ".rs"))
            elif module:
                self.tests.update(range(at, self.lines.index("}", at) + 1))

    def function(self, line):
        """The function that a line is in, as `Type::name`: rustfmt indents what is inside."""
        name, indent = None, len(self.lines[line]) - len(self.lines[line].lstrip()) + 1
        for text in reversed(self.lines[:line + 1]):
            if not text.strip() or len(text) - len(text.lstrip()) >= indent:
                continue
            found = re.match(r"\s*(?:pub(?:\(.*?\))? )?(?:const |unsafe |async |extern \S+ )*fn (\w+)", text)
            if found and name is None:
                name = found[1]
                indent = len(text) - len(text.lstrip())
            found = re.match(r"(?:unsafe )?(?:impl|(?:pub(?:\(.*?\))? )?trait)\b(?:<.*?>(?= ))? ?(.*?)(?: where.*)?(?: \{)?$", text)
            if found:
                type_name = re.sub(r"^.* for ", "", found[1])
                type_name = re.sub(r"^&(mut )?|<.*|:.*", "", type_name).rsplit("::", 1)[-1]
                return "%s::%s" % (type_name, name)
        require(name, "no function at %s:%d" % (self.name, line + 1))
        return name


def regions():
    """For each file of the library the regions, as (line, column, line, column), and how often each was executed."""
    counts = collections.defaultdict(collections.Counter)
    functions = [function for path in OUT.glob("*.json") for function in json.loads(path.read_text())["data"][0]["functions"]]
    for function in functions:
        for *place, count, file, _, kind in function["regions"]:
            if kind == CODE:
                # A generic function has the same regions once for each type.
                counts[function["filenames"][file]][tuple(place)] += count
    files = [File(path) for path in sorted(SOURCE.rglob("*.rs"))]
    test_modules = set().union(*(file.test_modules for file in files))
    for file in files:
        found = counts.get(str(file.path))
        if found and file.path not in test_modules:
            yield file, {place: count for place, count in found.items() if place[0] - 1 not in file.tests}


class Listed:
    """A row of the list: what is not covered, and why."""

    def __init__(self, line):
        fields = line.split("\t")
        require(len(fields) == 4 and all(field == field.strip() != "" for field in fields), "not 4 fields: %r" % line)
        self.key = tuple(fields[:3])
        self.reason = fields[3]


def read_list():
    rows = [Listed(line) for line in LIST.read_text().splitlines() if not line.startswith("#")]
    keys = [row.key for row in rows]
    require(len(set(keys)) == len(keys), "twice: %s" % [key for key in keys if keys.count(key) > 1][:1])
    return rows


def percent(covered, all_of_them):
    return "%.2f %%" % (100 * covered / all_of_them)


def measured_commit():
    commit = output("git", "rev-parse", "--short=9", "HEAD").strip()
    changed = output("git", "status", "--porcelain", "--", "ws-core", "Cargo.toml", "Cargo.lock")
    return commit + (" with changes" if changed else "")


def write(commit, table, rows):
    compiler = re.match(r"rustc (\S+)", output("rustc", "--version"))[1]
    covered, all_of_them = (sum(row[at] for row in table) for at in (1, 2))
    lines = ["# Regions of ws-core that its tests execute", "",
             "Written by `conformance/coverage`, which says what is measured. Commit %s, Rust %s." % (commit, compiler), "",
             "| file | regions | covered | |", "|---|---:|---:|---:|"]
    lines += ["| `%s` | %d | %d | %s |" % (name, count, hit, percent(hit, count)) for name, hit, count in table]
    lines += ["| **all** | **%d** | **%d** | **%s** |" % (all_of_them, covered, percent(covered, all_of_them)), "",
              "## What is not covered, and why", "",
              "The list is kept by hand in `coverage-uncovered.tsv`. A line that is not covered and is not listed fails, as does a",
              "listed line that is covered.", "", "| file | function | line | why |", "|---|---|---|---|"]
    lines += ["| `%s` | `%s` | `%s` | %s |" % (*(field.replace("|", "\\|") for field in row.key), row.reason) for row in rows]
    REPORT.write_text("\n".join(lines) + "\n")
    return "%d of %d regions, %s" % (covered, all_of_them, percent(covered, all_of_them))


def main():
    checks = Checks()
    commit = measured_commit()
    if not checks.run("the tests run", measure):
        return checks.finish()
    table, uncovered = [], {}
    for file, found in regions():
        missed = [place for place, count in found.items() if count == 0]
        table.append((file.name, len(found) - len(missed), len(found)))
        for line, column, *_ in sorted(missed):
            key = (file.name, file.function(line - 1), file.lines[line - 1].strip())
            uncovered.setdefault(key, []).append("%s:%d:%d" % (file.name, line, column))

    def every_gap_is_listed():
        listed = {row.key for row in read_list()}
        missing = [key for key in uncovered if key not in listed]
        for key in missing:
            print("not covered: %s\t%s" % (" ".join(uncovered[key]), "\t".join(key[1:])))
        require(not missing, "%d lines are not covered, and not listed" % len(missing))
        return "%d lines" % len(uncovered)

    def everything_listed_is_a_gap():
        covered = [row.key for row in read_list() if row.key not in uncovered]
        for key in covered:
            print("covered, or gone: %s" % "\t".join(key))
        require(not covered, "%d listed lines are covered, or are gone" % len(covered))

    checks.run("what is not covered is listed", every_gap_is_listed)
    checks.run("what is listed is not covered", everything_listed_is_a_gap)
    checks.run("conformance/coverage.md", lambda: write(commit, table, read_list()))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
