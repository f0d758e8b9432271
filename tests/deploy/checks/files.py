"""The files under deploy/, parsed; and where problems are gathered."""

import json
import pathlib
import re
import tomllib

import yaml

ROOT = pathlib.Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROBLEMS = []


def expect(holds, problem):
    """Every problem of a run is told, not only the first."""
    if not holds:
        PROBLEMS.append(problem)


def toml(path):
    return tomllib.loads((DEPLOY / path).read_text())


def manifest(path):
    documents = [one for one in yaml.safe_load_all((DEPLOY / path).read_text()) if one]
    assert len(documents) == 1, f"{path}: one object a file"
    return documents[0]


def dashboard():
    return json.loads((DEPLOY / "grafana/framegate.json").read_text())


def unit(path):
    """The lines of a unit file, each key with the list of its values."""
    keys = {}
    for line in (DEPLOY / path).read_text().splitlines():
        name, found, value = line.partition("=")
        if found and not line.startswith(("#", ";")):
            keys.setdefault(name, []).append(value)
    return keys


UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def seconds(text):
    number, unit_of_time = re.fullmatch(r"(\d+)([a-z]*)", text).groups()
    return int(number) * UNITS[unit_of_time or "s"]


def size(text):
    number, unit_of_size = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) << {"Mi": 20, "Gi": 30}[unit_of_size]
