#!/usr/bin/env python3
"""Judges the runs.

    verdict.py suite DIR [--fault TEXT]...   judges one run, prints its offending cases, writes DIR/verdict.json
    verdict.py compare DIRECT DIR            the same for DIR, but the measure is the run without the gateway
    verdict.py total DIR...                  the table over the runs, and the last line; exit 1 if anything failed

DIR holds wstest.log, index.json (none if the suite never got so far) and leaks.jsonl (none with a strict peer).
"""

import argparse
import ast
import json
import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# Where RFC 6455 leaves a peer the choice to fail the connection before it has echoed what came before the bad frame.
NON_STRICT_ALLOWED = re.compile(r"3\.|4\.|5\.15$")

GOOD_BEHAVIOR = ("OK", "INFORMATIONAL")
# Not good either, though wstest does not say FAILED: WRONG CODE, UNCLEAN, and FAILED BY CLIENT, which says that the
# server's side left it to the client to end TCP.
GOOD_CLOSE = ("OK", "INFORMATIONAL")

NOT_RUN = {"behavior": "NOT RUN", "behaviorClose": "NOT RUN", "remoteCloseCode": None}


class Suite:
    """What one run left in its directory."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.cases = self._read_cases()
        self.results = self._read_results()
        self.leaks = self._read_leaks()

    def _read_cases(self):
        """The list that wstest printed at its start: a case missing from its report was not run, and has failed."""
        log = self.directory / "wstest.log"
        if log.exists():
            for line in log.read_text(errors="replace").splitlines():
                if line.startswith("Cases = "):
                    return ast.literal_eval(line[len("Cases = ") :])
        return []

    def _read_results(self):
        index = self.directory / "index.json"
        if not index.exists():
            return {}
        results = {}
        for agent in json.loads(index.read_text()).values():
            results.update(agent)
        return results

    def _read_leaks(self):
        """Case id → its leaks."""
        report = self.directory / "leaks.jsonl"
        leaks = {}
        if report.exists():
            for line in report.read_text().splitlines():
                leak = json.loads(line)
                leaks.setdefault(self._case_of(leak["path"]), []).append(leak)
        return leaks

    def _case_of(self, path):
        """As a server the peer is asked for /<case id>; as a client it asks for /runCase?case=<number>."""
        url = urlsplit(path)
        number = parse_qs(url.query).get("case")
        if number and int(number[0]) <= len(self.cases):
            return self.cases[int(number[0]) - 1]
        return url.path.strip("/") or "no case"

    def result(self, case):
        return self.results.get(case, NOT_RUN)


def rank(case, result):
    """For comparing: 0 good, 1 non-strict, 2 bad, of the behavior and of the close.

    Non-strict is good where it is allowed: a gateway that refuses a frame at once cannot wait for the peer's echo of
    the message before it, which a peer by itself has ready.
    """
    behavior = 2
    if result["behavior"] in GOOD_BEHAVIOR:
        behavior = 0
    elif result["behavior"] == "NON-STRICT":
        behavior = 0 if NON_STRICT_ALLOWED.match(case) else 1
    return behavior, 0 if result["behaviorClose"] in GOOD_CLOSE else 2


def kind(case, result):
    """Which column of the table a result belongs in."""
    behavior = result["behavior"]
    if result["behaviorClose"] not in GOOD_CLOSE:
        return "failed"
    if behavior == "NON-STRICT":
        return "non-strict" if NON_STRICT_ALLOWED.match(case) else "failed"
    return {"OK": "ok", "INFORMATIONAL": "informational"}.get(behavior, "failed")


def describe(result):
    text = "%(behavior)s, close %(behaviorClose)s" % result
    if result["remoteCloseCode"] is not None:
        text += " (code %s)" % result["remoteCloseCode"]
    if "reportfile" in result:
        text += ", see " + result["reportfile"].replace(".json", ".html")
    return text


def judge_alone(case, result):
    """Returns the column, and the reason if the case has failed."""
    column = kind(case, result)
    return column, describe(result) if column == "failed" else None


def judge_against(direct):
    def judge(case, result):
        there = direct.result(case)
        here, measure = rank(case, result), rank(case, there)
        if here[0] > measure[0] or here[1] > measure[1]:
            return "failed", "%s; without the gateway: %s" % (describe(result), describe(there))
        column = kind(case, result)
        # Bad, but no worse than the peer is by itself: not the gateway's doing.
        return "as direct" if column == "failed" else column, None

    return judge


def judge_suite(suite, judge, faults):
    columns, leaked, failed = Counter(), 0, []
    for case in suite.cases:
        column, reason = judge(case, suite.result(case))
        leaks = suite.leaks.get(case, [])
        reasons = [reason] if reason else []
        reasons += ["leaked %s: %s" % (leak["rule"], leak["detail"]) for leak in leaks]
        leaked += len(leaks)
        columns["failed" if reasons else column] += 1
        if reasons:
            failed.append((case, reasons))
    for case, leaks in suite.leaks.items():
        if case not in suite.cases:
            leaked += len(leaks)
            failed.append((case, ["leaked %(rule)s: %(detail)s" % leak for leak in leaks]))
    failed += [("run", [fault]) for fault in faults]
    if not suite.cases:
        failed.append(("run", ["wstest has not started"]))

    name = suite.directory.name
    for case, reasons in failed:
        for reason in reasons:
            print("  %s  %-8s %s" % (name, case, reason))
    cases_failed = sum(1 for case, _ in failed if case in suite.cases)
    verdict = {
        "name": name,
        "cases": len(suite.cases),
        "columns": columns,
        "leaked": leaked,
        "passed": len(suite.cases) - cases_failed,
        "failed": len(failed),
    }
    (suite.directory / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n")


def print_total(directories):
    verdicts = [json.loads((Path(directory) / "verdict.json").read_text()) for directory in directories]
    columns = ["ok", "non-strict", "informational", "failed"]
    if any("as direct" in verdict["columns"] for verdict in verdicts):
        columns.insert(3, "as direct")
    row = "%-28s" + " %8s" + " %13s" * len(columns) + " %8s"
    print(row % ("run", "cases", *columns, "leaked"))
    for verdict in verdicts:
        counts = [verdict["columns"].get(column, 0) for column in columns]
        print(row % (verdict["name"], verdict["cases"], *counts, verdict["leaked"]))
    passed = sum(verdict["passed"] for verdict in verdicts)
    failed = sum(verdict["failed"] for verdict in verdicts)
    print("%d passed, %d failed" % (passed, failed))
    return 0 if passed and not failed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    suite = commands.add_parser("suite")
    compare = commands.add_parser("compare")
    compare.add_argument("direct")
    for command in (suite, compare):
        command.add_argument("directory")
        command.add_argument("--fault", action="append", default=[])
    commands.add_parser("total").add_argument("directories", nargs="+")
    options = parser.parse_args()

    if options.command == "suite":
        judge_suite(Suite(options.directory), judge_alone, options.fault)
    elif options.command == "compare":
        judge_suite(Suite(options.directory), judge_against(Suite(options.direct)), options.fault)
    else:
        sys.exit(print_total(options.directories))


if __name__ == "__main__":
    main()
