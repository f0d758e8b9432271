"""The dashboard, held against Grafana's own models: a key that they do not know is a misspelt one, which Grafana would
silently pass over."""

import json

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import Dashboard

from .files import dashboard, expect

# Understood by the Prometheus data source, whose annotations the models leave out.
OF_ANNOTATIONS = {"titleFormat", "textFormat"}
# The models take any word for these.
WORDS = {
    "drawStyle": common.GraphDrawStyle,
    "lineInterpolation": common.LineInterpolation,
    "showPoints": common.VisibilityMode,
    "displayMode": common.LegendDisplayMode,
    "placement": common.LegendPlacement,
    "graphMode": common.BigValueGraphMode,
    "colorMode": common.BigValueColorMode,
    "textMode": common.BigValueTextMode,
    "justifyMode": common.BigValueJustifyMode,
    "cellHeight": common.TableCellHeight,
}


def compare(ours, theirs, where):
    """`theirs` is what is left of `ours` after Grafana's models have read and written it."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if key in WORDS:
                words = {word.value for word in WORDS[key]}
                expect(value in words, f"{where}.{key}: {value!r} is none of {sorted(words)}")
            if isinstance(theirs, dict) and key in theirs:
                compare(value, theirs[key], f"{where}.{key}")
            else:
                expect(key in OF_ANNOTATIONS and "annotations" in where, f"{where}.{key}: Grafana knows no such key")
    elif isinstance(ours, list):
        expect(isinstance(theirs, list) and len(ours) == len(theirs), f"{where}: Grafana reads another list")
        for place, (one, other) in enumerate(zip(ours, theirs)):
            compare(one, other, f"{where}[{place}]")
    else:
        expect(ours == theirs, f"{where}: {ours!r} is read as {theirs!r}")


def check_layout(panels):
    ids = [panel["id"] for panel in panels]
    expect(len(set(ids)) == len(ids), "two panels have one id")
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        expect(all(isinstance(number, int) for number in at.values()), f"{panel['title']}: a place that is no number")
        expect(at["x"] + at["w"] <= 24, f"{panel['title']} does not fit into the page")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                expect((x, y) not in taken, f"{panel['title']} and {taken.get((x, y))} overlap")
                taken[x, y] = panel["title"]


def check():
    board = dashboard()
    plugins.register_default_plugins()
    compare(board, json.loads(JSONEncoder().encode(Dashboard.from_json(board))), "dashboard")
    panels = board["panels"]
    check_layout(panels)
    variables = [variable["name"] for variable in board["templating"]["list"]]
    expect(variables == ["datasource", "job", "instance", "route"], f"variables: {variables}")
    drawn = [panel for panel in panels if panel["type"] != "row"]
    for panel in drawn + board["annotations"]["list"]:
        title = panel.get("title") or panel.get("name")
        expect(panel["datasource"]["uid"] == "${datasource}", f"{title} asks a data source of its own")
    for panel in drawn:
        for target in panel["targets"]:
            expect('job=~"$job"' in target["expr"], f"{panel['title']}: a query without $job")
            if "route" in target["expr"]:
                expect('route=~"$route"' in target["expr"], f"{panel['title']}: a query without $route")
        expect("unit" in panel["fieldConfig"]["defaults"] or panel["type"] == "table", f"{panel['title']} has no unit")
