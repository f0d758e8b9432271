"""python -m checks [QUERIES]: everything about the files in deploy/ that takes no program but Python. Writes the dashboard's
queries to QUERIES, as rules."""

import importlib
import pathlib
import sys

from .files import PROBLEMS


def main():
    for name in ("numbers", "manifests", "names", "dashboard"):
        before = len(PROBLEMS)
        importlib.import_module(f".{name}", __package__).check()
        print(f"  {name}: {'ok' if len(PROBLEMS) == before else 'PROBLEMS'}")
    for problem in PROBLEMS:
        print(f"  - {problem}", file=sys.stderr)
    if len(sys.argv) > 1:
        importlib.import_module(".names", __package__).queries_as_rules(pathlib.Path(sys.argv[1]))
    return 1 if PROBLEMS else 0


sys.exit(main())
