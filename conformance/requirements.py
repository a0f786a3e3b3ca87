"""The table of requirements; started by conformance/requirements."""
import argparse
import functools
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "lib"))

import mutants
from harness import Checks, NotRun, require

ROWS = 201
# The layers, and what there is when a layer is there.
LAYERS = {
    "frame": "ws-core/src/frame",
    "connection": "ws-core/src/connection",
    "handshake": "ws-core/src/handshake",
    "endpoint": "ws-core/src/endpoint",
    "ws-std": "ws-std/src",
    "docs": "ws-core/README.md",
    "tls": "ws-std/src/tls",
    "deflate": "ws-core/src/deflate",
}


class Row:
    def __init__(self, line):
        fields = line.split("\t")
        require(len(fields) == 7 and all(fields), "not seven fields: %r" % line)
        self.number, self.section, self.level, self.role, self.layer, self.text, proofs = fields
        require(self.number.isdigit(), "not a number: %r" % line)
        self.number = int(self.number)
        self.proofs = proofs.split(" ; ")

    def later(self):
        return self.proofs == ["later: " + self.layer]

    def tests(self):
        """The (file, name) of its tests."""
        for proof in self.proofs:
            if "::" in proof and not proof.startswith(("doc:", "conformance/")):
                yield tuple(proof.split("::", 1))


def table():
    lines = (HERE / "requirements.tsv").read_text().splitlines()
    return [Row(line) for line in lines if not line.startswith("#")]


def complete(rows):
    numbers = [row.number for row in rows]
    wanted = range(1, ROWS + 1)
    missing = sorted(set(wanted) - set(numbers))
    repeated = sorted({number for number in numbers if numbers.count(number) > 1})
    strange = [row.number for row in rows if row.number not in wanted or row.layer not in LAYERS or row.role not in "CSB"]
    require(not (missing or repeated or strange),
            "missing %s, repeated %s, with an unknown number, layer or role %s" % (missing, repeated, strange))
    return "%d rows" % len(rows)


def proven(rows):
    later = [row.number for row in rows if row.later()]
    if later:
        raise NotRun("this layer does not exist yet; rows %s" % ", ".join(map(str, later)))
    return "%d rows, %d tests" % (len(rows), len({test for row in rows for test in row.tests()}))


def faults_of(row):
    if row.later():
        if (ROOT / LAYERS[row.layer]).exists():
            yield "the layer exists and no test is named"
        return
    for proof in row.proofs:
        fault = fault_of(proof)
        if fault:
            yield fault


def fault_of(proof):
    """What is wrong with a proof, if anything is."""
    if proof.startswith("doc:"):
        file, _, phrase = proof[4:].partition("#")
        if not phrase or phrase not in prose(file):
            return "%s does not say %r" % (file, phrase)
    elif proof.startswith("conformance/foreign:"):
        if proof.rsplit(": ", 1)[1] not in foreign_checks():
            return "no check of this name: " + proof
    else:
        file, _, name = proof.partition("::")
        if name not in tests_of(file):
            return "no test %s in %s" % (name, file)
        if tests_of(file)[name]:
            return "%s in %s is ignored" % (name, file)


@functools.cache
def prose(file):
    """The text of a document or of the comments of a source, without its line breaks."""
    path = ROOT / file
    if not path.is_file():
        return ""
    text = re.sub(r"^\s*//[/!]?", "", path.read_text(), flags=re.M)
    return re.sub(r"\s+", " ", text)


@functools.cache
def tests_of(file):
    """The tests of a source, also those inside proptest!, and whether each is ignored."""
    path = ROOT / file
    if not path.is_file():
        return {}
    code = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
    attribute = r"#\[[^\]]*\]\s*"
    tests = re.findall(r"((?:%s)+)(?:pub(?:\([^)]*\))? )?fn (\w+)" % attribute, code)
    return {name: "#[ignore" in attributes for attributes, name in tests if "#[test]" in attributes}


@functools.cache
def foreign_checks():
    """The names that the checks of conformance/foreign have behind their section's."""
    text = "".join(path.read_text() for path in sorted((HERE / "lib").glob("raw_*.py")))
    return set(re.findall(r'\("([^"]+)",', text))


def main():
    parser = argparse.ArgumentParser(prog="conformance/requirements", description=__doc__)
    parser.add_argument("--mutants", action="store_true", help="broken builds, which the named tests have to notice")
    options = parser.parse_args()
    checks = Checks()
    rows = table()
    if options.mutants:
        mutants.run(checks, {row.number: row for row in rows}, ROOT)
    else:
        checks.run("every requirement has one row", complete, rows)
        for layer in LAYERS:
            owed = [row for row in rows if row.layer == layer]
            faults = [(row, fault) for row in owed for fault in faults_of(row)]
            for row, fault in faults:
                checks.record("%s: row %d, %s" % (layer, row.number, row.text), "FAIL", 0, fault)
            if not faults:
                checks.run(layer, proven, owed)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
