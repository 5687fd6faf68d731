#!/usr/bin/env python3
"""The attack table: each claim of SECURITY.md with its tests, what they counted, and how they went in a run.

    tests/attacks.py FILE...

Reads the output of `cargo test`, as `./test` keeps it, prints one line a claim ("held", tests passed of tests named, claim), and fails if a test that
is named did not run or failed.
"""

import pathlib
import re
import sys

CLAIMS = pathlib.Path(__file__).resolve().parent.parent / "SECURITY.md"
ROW = re.compile(r"^\| (\*\*.*?) \| (.*) \|$")
NAMED = re.compile(r"`[\w/]+\.rs::(\w+)`")
RAN = re.compile(r"^test (?:[\w-]+::)*(\w+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
# What a test prints can stand between its name and its verdict.
BEGUN = re.compile(r"^test (?:[\w-]+::)*(\w+) \.\.\. ")


def outcomes(lines):
    """Test name -> whether every test of that name passed."""
    ran, begun = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if match := RAN.match(line):
            name, verdict = match.groups()
            ran[name] = ran.get(name, True) and verdict == "ok"
            begun = None
        elif match := BEGUN.match(line):
            begun = match.group(1)
        elif begun and line in ("ok", "FAILED"):
            ran[begun] = ran.get(begun, True) and line == "ok"
            begun = None
    return ran


def plain(claim):
    """The claim's first sentence without markup."""
    return re.sub(r"\*\*|`", "", claim).split(". ")[0].rstrip(".")


def main():
    ran = outcomes(line for name in sys.argv[1:] for line in open(name, errors="replace"))
    broken = 0
    for line in CLAIMS.read_text().splitlines():
        if not (match := ROW.match(line)):
            continue
        claim, names = match.group(1), sorted(set(NAMED.findall(match.group(2))))
        passed = [name for name in names if ran.get(name)]
        held = names and len(passed) == len(names)
        broken += not held
        print(f"{'held' if held else 'NOT HELD':8}  {len(passed):2} of {len(names):2} tests  {plain(claim)}")
        for name in names:
            if name not in passed:
                print(f"          {'failed' if name in ran else 'did not run'}: {name}")
    if broken:
        print(f"{broken} claims are not held", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
