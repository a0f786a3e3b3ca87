"""The tables of requirements, advisories, reports and strictness; started by conformance/requirements."""
import argparse
import functools
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "lib"))

import mutants
from harness import Checks, require, stop_at_exit

# How many rows each table has, so that none is lost. A new row changes its number.
ROWS = {"requirements": 201, "advisories": 56, "reports": 45, "strictness": 36}
LAYERS = ("frame", "connection", "handshake", "endpoint", "ws-std", "docs", "tls", "deflate")
# How an advisory or a report is named: its number, or the project and the number there; `-` when it has none.
ID = r"CVE-\d{4}-\d+|GHSA(-[0-9a-z]{4}){3}|RUSTSEC-\d{4}-\d{4}|[\w.-]+(/[\w.-]+)?#\d+|-"


class Table:
    """A file of rows. `fields` are their names but for the last one, the proofs."""

    def __init__(self, name, fields, complete, lines_of):
        self.name = name
        self.fields = fields
        self.complete = complete
        self.rows = [Row(self, line) for line in (HERE / (name + ".tsv")).read_text().splitlines()
                     if not line.startswith("#")]
        # The rows of each printed line.
        self.lines = lines_of(self)


class Row:
    def __init__(self, table, line):
        fields = line.split("\t")
        require(len(fields) == len(table.fields) + 1 and all(field == field.strip() != "" for field in fields),
                "not %d fields: %r" % (len(table.fields) + 1, line))
        vars(self).update(zip(table.fields, fields))
        self.proofs = fields[-1].split(" ; ")

    def later(self):
        """What the row waits for, if it is not proven yet."""
        return len(self.proofs) == 1 and self.proofs[0].startswith("later: ")

    def tests(self):
        """The (file, name) of its tests."""
        for proof in self.proofs:
            if "::" in proof and not proof.startswith(("doc:", "conformance/")):
                yield tuple(proof.split("::", 1))

    def faults(self):
        if not self.later():
            yield from filter(None, map(fault_of, self.proofs))


def requirements_complete(table):
    numbers = [int(row.number) for row in table.rows if row.number.isdigit()]
    wanted = range(1, len(table.rows) + 1)
    missing = sorted(set(wanted) - set(numbers))
    repeated = repeated_in(numbers)
    strange = [row.number for row in table.rows
               if row.number not in map(str, wanted) or row.layer not in LAYERS or row.role not in "CSB" or row.later()]
    require(not (missing or repeated or strange),
            "missing %s, repeated %s, with an unknown number, layer or role, or without proof %s" % (missing, repeated, strange))


def advisories_complete(table):
    ids = [one for row in table.rows for one in row.ids.split(", ")]
    strange = [one for one in ids if not re.fullmatch(ID, one)]
    repeated = repeated_in([one for one in ids if one != "-"] + [row.text for row in table.rows])
    require(not (strange or repeated), "repeated %s, not the number of an advisory %s" % (repeated, strange))


def strictness_complete(table):
    strange = [row.text for row in table.rows
               if row.kind not in ("stricter", "laxer") or row.role not in "CSB" or not row.section.startswith("RFC ") or row.later()]
    repeated = repeated_in([row.text for row in table.rows])
    require(not (strange or repeated), "repeated %s, with an unknown kind, role or section, or without proof %s" % (repeated, strange))


def repeated_in(values):
    return sorted({value for value in values if values.count(value) > 1})


def complete(table):
    table.complete(table)
    require(len(table.rows) == ROWS[table.name], "%d rows, not %d" % (len(table.rows), ROWS[table.name]))
    return "%d rows" % len(table.rows)


def proven(rows):
    done = [row for row in rows if not row.later()]
    return "%d of %d rows, %d tests" % (len(done), len(rows), len({test for row in done for test in row.tests()}))


def fault_of(proof):
    """What is wrong with a proof, if anything is."""
    if proof.startswith("doc:"):
        file, _, phrase = proof[4:].partition("#")
        if not phrase or phrase not in prose(file):
            return "%s does not say %r" % (file, phrase)
    elif proof.startswith("conformance/"):
        script, _, name = proof[len("conformance/"):].partition(":")
        if name.rsplit(": ", 1)[-1] not in checks_of(script):
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
    tests = re.findall(r"((?:%s)+)(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)" % attribute, code)
    return {name: "#[ignore" in attributes for attributes, name in tests
            if re.search(r"#\[(\w+::)?test[\](]", attributes)}


@functools.cache
def checks_of(script):
    """The names that the checks of a script have behind their section's."""
    path = HERE / (script + ".py")
    if not path.is_file():
        return set()
    text = path.read_text()
    for module in set(re.findall(r"\w+", " ".join(re.findall(r"^(?:import|from) .*", text, flags=re.M)))):
        for file in (HERE / (module + ".py"), HERE / "lib" / (module + ".py")):
            text += file.read_text() if file.is_file() else ""
    return {name.rsplit(": ", 1)[-1] for name in re.findall(r'\("([^"]+)"(?:,| %)', text)}


def defences():
    """The tests that SECURITY.md names as `program::test`, or in short in its table of memory, and the checks of conformance/attack."""
    text = (ROOT / "SECURITY.md").read_text()
    tests = re.findall(r"`([a-z0-9_]+)::([a-z0-9_]+)`", text)
    programs = {program: [file for crate in ("ws-core", "ws-std") for pattern in ("%s.rs", "%s/*.rs")
                          for file in (ROOT / crate / "tests").glob(pattern % program)] for program, _ in tests}
    # An ignored test proves nothing.
    missing = ["%s::%s" % (program, name) for program, name in tests
               if not any(tests_of(str(file.relative_to(ROOT))).get(name) is False for file in programs[program])]
    limits = text.partition("## Limits")[2].partition("\n## ")[0]
    rows = [line for line in limits.splitlines() if line.startswith("| ")][1:]
    missing += ["test in the row: " + row for row in rows if not re.search(r"`[a-z0-9_]+::[a-z0-9_]+` \|$", row)]
    require(len(rows) > 20, "no limits")
    memory = text.partition("## Memory and work under attack")[2].partition("\n## ")[0]
    rows = [re.findall(r"`([a-z0-9_]+_…[a-z0-9_…]*)`", line) for line in memory.splitlines()]
    rows = [row for row in rows if row]
    # Each row has a figure of both crates.
    for files in (("ws-core/tests/endpoint_memory.rs", "ws-core/tests/endpoint_deflate/memory.rs"), ("ws-std/tests/memory.rs",)):
        known = [test for file in files for test in tests_of(file)]
        missing += ["%s in %s" % (" or ".join(row), files[0]) for row in rows
                    if not any(re.fullmatch(name.replace("…", ".*"), test) for name in row for test in known)]
    require(rows, "no test in the table of memory")
    attacks = re.search(r"const CHECKS.*?\];", (HERE / "stress/src/bin/attack.rs").read_text(), flags=re.S)[0]
    table = text.partition("## Attacks that are tested")[2].partition("\n## ")[0]
    cells = [line.strip("| ").rpartition(" | ")[2] for line in table.splitlines() if line.startswith("| ")]
    checks = re.findall(r"`([a-z-]+)`", " ".join(cells))
    missing += [check for check in checks if '("%s", ' % check not in attacks]
    require(tests and checks and not missing, "there is no %s" % ", ".join(missing))
    return "%d tests, %d attacks" % (len(tests) + len(rows), len(set(checks)))


def main():
    parser = argparse.ArgumentParser(prog="conformance/requirements", description=__doc__)
    parser.add_argument("--mutants", action="store_true", help="broken builds, which the named tests have to notice")
    parser.add_argument("--strict", action="store_true", help="a row that is not proven yet is a failure")
    options = parser.parse_args()
    stop_at_exit()
    checks = Checks()
    by_layer = lambda table: {layer: [row for row in table.rows if row.layer == layer] for layer in LAYERS}
    whole = lambda table: {table.name: table.rows}
    fields = ("ids", "where", "text")
    tables = [
        Table("requirements", ("number", "section", "level", "role", "layer", "text"), requirements_complete, by_layer),
        Table("advisories", fields, advisories_complete, whole),
        Table("reports", fields, advisories_complete, whole),
        Table("strictness", ("kind", "role", "section", "text", "why"), strictness_complete, whole),
    ]
    if options.mutants:
        mutants.run(checks, {int(row.number): row for row in tables[0].rows}, ROOT)
        return checks.finish()
    for table in tables:
        checks.run("every row of %s.tsv is there once" % table.name, complete, table)
        for name, rows in table.lines.items():
            faults = [(row, fault) for row in rows for fault in row.faults()]
            for row, fault in faults:
                checks.record("%s: %s" % (name, row.text), "FAIL", 0, fault)
            for row in filter(Row.later, rows):
                checks.record("%s: %s" % (name, row.text), "FAIL" if options.strict else "not run", 0, "not yet")
            if not faults:
                checks.run(name, proven, rows)
    checks.run("the tests that SECURITY.md names are there", defences)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
