"""Instructions of ws-core/tests/work.rs at growing lengths; started by conformance/work."""
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))

from harness import ROOT, Checks, Run, require

# The tests, and the length of the first of three runs: long enough that what grows too fast outweighs the rest.
TESTS = (
    ("one_byte_continuations", 50_000),
    ("one_byte_continuations_of_text", 50_000),
    ("empty_continuations", 50_000),
    ("one_byte_continuations_that_are_streamed", 50_000),
    ("one_byte_continuations_that_are_compressed", 50_000),
    ("a_frame_in_reads_of_one_byte", 50_000),
    ("a_head_in_reads_of_one_byte", 50_000),
    ("pings_whose_pongs_wait", 50_000),
    ("output_that_is_taken_byte_by_byte", 50_000),
)
# What the second step may take, compared with the first.
MOST = 1.05


def program():
    command = ["cargo", "test", "--locked", "--release", "-p", "ws-core", "--all-features", "--test", "work", "--no-run",
               "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=1800).stdout
    found = [json.loads(line).get("executable") for line in output.splitlines()]
    return [path for path in found if path][-1]


def instructions(path, test, length):
    os.environ["WORK_LENGTH"] = str(length)
    run = Run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", path, "--exact", test, "--test-threads=1"], 600)
    require("1 passed" in run.stdout, "the test fails: " + run.stdout[-300:])
    return int(re.search(r"Collected : (\d+)", run.stderr)[1])


def grows(path, test, length):
    short, middle, long = (instructions(path, test, times * length) for times in (1, 2, 4))
    first, second = (middle - short) / length, (long - middle) / (2 * length)
    text = "%.1f, then %.1f instructions" % (first, second)
    require(second <= MOST * first, "more than linear: " + text)
    return text


def main():
    checks = Checks()
    path = program()
    known = [test for test, _ in TESTS]
    for name in sys.argv[1:]:
        if name not in known:
            sys.exit("work: no test of the name %s" % name)
    for test, length in TESTS:
        if test in (sys.argv[1:] or known):
            checks.run(test, grows, path, test, length)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
