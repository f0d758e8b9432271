"""Every metric and label that the rules, the dashboard and the manifests ask for is one that the program has
(metrics.txt), and every alert is tested."""

import pathlib
import re

import yaml

from .files import DEPLOY, dashboard, expect, manifest

HERE = pathlib.Path(__file__).parents[1]
# What Prometheus adds, or an aggregation keeps, whatever the metric.
ANYWHERE = {"job", "instance", "namespace", "pod", "le", "__name__"}
OTHERS = {"up", "ALERTS"}


def known():
    """Name → its labels, with what a histogram becomes."""
    metrics = {}
    for line in (HERE / "metrics.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        kind, name, *labels = line.split()
        suffixes = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        metrics |= {name + suffix: set(labels) for suffix in suffixes}
    return metrics


def rules():
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_queries():
    """(where, the query with its variables filled in)"""
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']!r}", annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']!r}", re.match(r"label_values\((.*), \w+\)$", variable["query"]["query"])[1]


def filled_in(query):
    return query.replace("$__rate_interval", "1m").replace('"$', '".*')


def check_query(where, query, metrics, recorded):
    names = set(re.findall(r"\b(?:framegate|process)[a-z0-9_:]*", re.sub(r'"[^"]*"', '""', query)))
    for name in names:
        expect(name in metrics or name in recorded, f"{where}: there is no metric {name}")
    allowed = set().union(ANYWHERE, *(metrics.get(name, set()) for name in names))
    if names & recorded or "ALERTS" in query:
        return
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
    for group in re.findall(r"\b(?:by|on|without|group_left)\s*\(([^)]*)\)", query):
        asked |= {label.strip() for label in group.split(",") if label.strip()}
    expect(asked <= allowed, f"{where}: none of {sorted(names)} has the labels {sorted(asked - allowed)}")


def check_tests():
    """Each alert fires in one test and is silent in another."""
    tests = yaml.safe_load((HERE / "rules_test.yml").read_text())["tests"]
    asked = [one for test in tests for one in test.get("alert_rule_test", [])]
    for rule in rules():
        if "alert" in rule:
            outcomes = {bool(one["exp_alerts"]) for one in asked if one["alertname"] == rule["alert"]}
            expect(outcomes == {True, False}, f"{rule['alert']} is not tested both firing and silent")
            expect(rule["annotations"].keys() == {"summary", "description"}, f"{rule['alert']} does not explain itself")
            expect(rule["labels"].get("severity") in ("warning", "critical"), f"{rule['alert']} has no severity")


def check():
    metrics = known()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        check_query(rule.get("alert") or rule["record"], rule["expr"], metrics, recorded)
    for where, query in dashboard_queries():
        check_query(where, query, metrics, recorded)
    (pods,) = [one for one in manifest("kubernetes/horizontalpodautoscaler.yaml")["spec"]["metrics"] if one["type"] == "Pods"]
    adapter = manifest("kubernetes/monitoring/prometheus-adapter.yaml")["rules"]["custom"]
    for name in (pods["pods"]["metric"]["name"], adapter[0]["seriesQuery"].partition("{")[0]):
        expect(name in metrics, f"the autoscaler asks for {name}, which there is not")
    check_tests()


def queries_as_rules(path):
    """For promtool, which checks rules and not queries."""
    queries = [filled_in(query) for _, query in dashboard_queries()]
    written = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": written}]}))
