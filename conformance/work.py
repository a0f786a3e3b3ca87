"""Instructions of the tests of memory and work at growing lengths; started by conformance/work."""
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))

from harness import ROOT, Checks, Run, require, stop_at_exit

# The programs of tests, and the length of the first of three runs of each: long enough that what grows too fast outweighs
# the rest. What a bomb inflates to takes little for each byte.
PROGRAMS = (
    ("ws-core", "work", (
        ("one_byte_continuations", 50_000),
        ("one_byte_continuations_of_text", 50_000),
        ("empty_continuations", 50_000),
        ("one_byte_continuations_that_are_streamed", 50_000),
        ("one_byte_continuations_that_are_compressed", 50_000),
        ("a_frame_in_reads_of_one_byte", 50_000),
        ("a_head_in_reads_of_one_byte", 50_000),
        ("pings_whose_pongs_wait", 50_000),
        ("output_that_is_taken_byte_by_byte", 50_000),
    )),
    ("ws-core", "connection_memory", (
        ("a_million_empty_fragments_cost_nothing", 50_000),
        ("a_million_one_byte_fragments_cost_nothing", 50_000),
        ("one_byte_reads_cost_nothing", 50_000),
        ("ping_floods_cost_nothing", 50_000),
        ("a_head_in_one_byte_reads_costs_nothing", 50_000),
        ("compressed::a_million_compressed_fragments_cost_nothing", 50_000),
        ("compressed::a_million_empty_compressed_fragments_cost_nothing", 50_000),
        ("compressed::one_byte_reads_of_a_compressed_frame_cost_nothing", 50_000),
        ("compressed::a_declared_length_of_a_compressed_frame_costs_nothing", 500_000),
        ("compressed::pings_between_compressed_fragments_cost_nothing", 50_000),
        ("compressed::a_bomb_costs_an_inflater_in_a_slice_nothing", 2_000_000),
    )),
    ("ws-core", "endpoint_memory", (
        ("a_declared_length_costs_what_arrives", 500_000),
    )),
    ("ws-core", "endpoint_deflate", (
        ("memory::a_million_compressed_fragments_cost_their_message", 50_000),
        ("memory::a_million_empty_fragments_of_a_compressed_message_cost_nothing", 50_000),
        ("memory::one_byte_reads_of_a_compressed_frame_cost_its_message", 50_000),
        ("memory::a_declared_length_of_a_compressed_frame_costs_nothing", 500_000),
        ("memory::pings_between_compressed_fragments_cost_the_output_that_may_wait", 50_000),
        ("memory::a_bomb_costs_its_limit_and_a_constant", 2_000_000),
    )),
    ("ws-std", "memory", (
        ("a_million_empty_fragments_cost_nothing", 50_000),
        ("a_million_one_byte_fragments_cost_their_payload", 50_000),
        ("one_byte_reads_of_a_large_frame_cost_its_payload", 50_000),
        ("a_declared_length_costs_what_arrives", 500_000),
        ("pings_that_cannot_be_answered_cost_the_output_that_may_wait", 50_000),
        ("a_head_in_one_byte_reads_costs_its_length", 50_000),
        ("compressed::a_million_empty_fragments_of_a_compressed_message_cost_nothing", 50_000),
        ("compressed::a_million_compressed_fragments_cost_their_message", 50_000),
        ("compressed::one_byte_reads_of_a_compressed_frame_cost_its_message", 50_000),
        ("compressed::a_declared_length_of_a_compressed_frame_costs_what_arrives", 500_000),
        ("compressed::pings_between_compressed_fragments_cost_the_output_that_may_wait", 50_000),
        ("compressed::a_bomb_costs_its_limit", 2_000_000),
    )),
)
# Messages of more than 4 GiB, without counting.
LONG = (
    ("ws-core", "endpoint_deflate", "memory::a_long_message_streams_through_little_memory", (1 << 32) + (1 << 16)),
    ("ws-core", "deflate", "four_gib::more_than_four_gib_of_room_can_be_filled", None),
)
# What the second step may take, compared with the first.
MOST = 1.05


def program(package, name):
    # The default features of ws-std have compression. TLS plays no part here, and takes long to build.
    features = ["--all-features"] if package == "ws-core" else []
    command = ["cargo", "test", "--locked", "--release", "-p", package, *features, "--test", name, "--no-run",
               "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=1800).stdout
    found = [json.loads(line).get("executable") for line in output.splitlines()]
    return [path for path in found if path][-1]


def at_full_length(path):
    """All tests of a program, optimised, with the lengths that they have by themselves."""
    run = Run([path], 600)
    require(run.status == 0, "a test fails: " + run.stdout[-300:])
    return re.search(r"(\d+ passed)", run.stdout)[1]


def of_length(length, *command):
    """Runs one test with this length."""
    if length:
        os.environ["WORK_LENGTH"] = str(length)
    try:
        run = Run([*command, "--test-threads=1"], 600)
    finally:
        os.environ.pop("WORK_LENGTH", None)
    require("1 passed" in run.stdout, "the test fails: " + run.stdout[-300:])
    return run


def beyond_32_bits(package, name, test, length):
    of_length(length, program(package, name), "--exact", test, "--include-ignored")
    return "%d bytes" % length if length else ""


def instructions(path, test, length):
    run = of_length(length, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", path, "--exact", test)
    return int(re.search(r"Collected : (\d+)", run.stderr)[1])


def grows(path, test, length):
    short, middle, long = (instructions(path, test, times * length) for times in (1, 2, 4))
    first, second = (middle - short) / length, (long - middle) / (2 * length)
    require(first > 0, "the work does not depend on the length")
    text = "%.1f, then %.1f instructions" % (first, second)
    require(second <= MOST * first, "more than linear: " + text)
    return text


def main():
    stop_at_exit()
    checks = Checks()
    wanted = sys.argv[1:]
    known = ["%s/%s" % (name, test) for _, name, tests in PROGRAMS for test, _ in tests]
    known += ["%s/%s" % (name, test) for _, name, test, _ in LONG]
    for name in wanted:
        if not any(one.startswith(name) for one in known):
            sys.exit("work: no test begins with %s; there are\n%s" % (name, "\n".join(known)))
    for package, name, tests in PROGRAMS:
        chosen = [(test, length) for test, length in tests
                  if not wanted or any(("%s/%s" % (name, test)).startswith(one) for one in wanted)]
        if chosen:
            path = program(package, name)
            checks.run("%s at full length" % name, at_full_length, path)
        for test, length in chosen:
            checks.run("%s/%s" % (name, test), grows, path, test, length)
    for package, name, test, length in LONG:
        if not wanted or any(("%s/%s" % (name, test)).startswith(one) for one in wanted):
            checks.run("%s/%s" % (name, test), beyond_32_bits, package, name, test, length)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
