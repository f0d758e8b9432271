"""From raw results to figures: medians, spreads, ratios, verdicts; as a markdown table and as a chart.

Nothing here measures. `summary` makes plain data of the results, and the two renderers read only that: a table can be
made again from the JSON of an old run.
"""

from itertools import zip_longest
from statistics import median
from xml.sax.saxutils import escape

import rows

# A figure whose repeats lie further apart than this, relative to their median, is too noisy to quote by itself.
NOISY = 0.20
# Fewer repeats have no spread to speak of.
ENOUGH = 3
# The share of the machine that others may take before a result counts as disturbed.
DISTURBED = 0.10

# The share of one core from which on the single-threaded load client is what limits a rate.
CLIENT_BOUND = 0.97

OURS = "framegate"


def summary(results, scale):
    """One dict a row. `results`: cell → peer → what the load client said in each repeat, None where it failed."""
    lines = []
    for row in rows.ROWS:
        if row.cell in results:
            by_peer = results[row.cell]
            direct = results.get(row.direct or row.cell, {}).get("direct", [])
            figures = {peer: figure(row, by_peer[peer], peer, direct) for peer in by_peer}
            line = {
                "key": row.key,
                "title": row.title.format(**vars(scale)),
                "unit": row.unit,
                "digits": row.digits,
                "higher_is_better": row.higher_is_better,
                "figures": {peer: found for peer, found in figures.items() if found},
            }
            line.update(judge(row, line, {done["key"]: done for done in lines}))
            lines.append(line)
    return lines


def figure(row, repeats, peer, direct):
    """The values of one row and one peer, by repeat, with median and spread."""
    values = []
    for result, without in zip_longest(repeats, direct[: len(repeats)]):
        values.append(row.value(result, without) if result and counted(row, peer, result) else None)
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = median(known)
    spread = (max(known) - min(known)) / abs(middle) if middle else 0
    return {
        "values": values,
        "median": middle,
        "min": min(known),
        "max": max(known),
        "noisy": len(known) > 1 and spread > NOISY,
        "repeats": len(known),
    }


def counted(row, peer, result):
    """Without a proxy there is no CPU of a proxy, only a rate."""
    return peer != "direct" or (row.higher_is_better and result.get("messages"))


def judge(row, line, done):
    """The ratio to the best peer, and what the target says of framegate's figure."""
    figures, target = line["figures"], row.target
    ours = figures.get(OURS)
    best = best_of(figures, target.peers if isinstance(target, rows.Versus) else rows.PEERS, row.higher_is_better)
    verdict = {"ratio": ratio(ours, figures.get(best)), "target": None, "judged": None, "verdict": None}
    if target is None or ours is None:
        return verdict
    higher = False
    match target:
        case rows.AtMost(limit):
            verdict["target"] = f"≤ {number(limit, row.digits)}"
            against, judged = None, {key: ours[key] for key in ("median", "min", "max")}
        case rows.Within(limit, other):
            against = done.get(other, {}).get("figures", {}).get(OURS)
            verdict["target"] = f"≤ {limit:.2f} × its own {done.get(other, {}).get('title', other)}"
            judged = ratio(ours, against)
        case rows.NoMoreThan(peer):
            limit, against = 0, figures.get(peer)
            verdict["target"] = f"≤ that of {peer}"
            judged = paired(ours, against, lambda a, b: a - b)
        case rows.Versus(limit, _, higher):
            against, judged = figures.get(best), verdict["ratio"]
            verdict["target"] = f"{'≥' if higher else '≤'} {limit:.2f} × {target.whose()}"
    if judged:
        noisy = ours["noisy"] or bool(against and against["noisy"])
        verdict["judged"] = judged
        verdict["verdict"] = word(judged, limit, higher, noisy)
        # What the table's ratio does not say.
        if isinstance(target, rows.Within):
            verdict["verdict"] += f": {judged['median']:.2f} ×"
        elif isinstance(target, rows.NoMoreThan):
            verdict["verdict"] += f": {judged['median']:+.{row.digits}f} {row.unit}"
    return verdict


def best_of(figures, peers, higher):
    present = [peer for peer in peers if peer in figures]
    pick = max if higher else min
    return pick(present, key=lambda peer: figures[peer]["median"]) if present else None


def ratio(ours, theirs):
    if not ours or not theirs or min(ours["min"], theirs["min"]) <= 0:
        return None
    return paired(ours, theirs, lambda a, b: a / b)


def paired(ours, theirs, compare):
    """Of the medians; the range is that of the repeats, each against the other's figure of the same repeat."""
    if not ours or not theirs:
        return None
    both = zip(ours["values"], theirs["values"])
    pairs = [compare(a, b) for a, b in both if a is not None and b is not None]
    middle = compare(ours["median"], theirs["median"])
    return {"median": middle, "min": min(pairs, default=middle), "max": max(pairs, default=middle)}


def word(judged, limit, higher, noisy):
    good = (lambda value: value >= limit) if higher else (lambda value: value <= limit)
    verdict = "met" if good(judged["median"]) else "not met"
    if good(judged["min"]) == good(judged["max"]) == good(judged["median"]):
        return verdict
    return "too noisy to quote" if noisy else f"{verdict}, by less than the spread"


# ---- markdown ---------------------------------------------------------------------------------------------------


def number(value, digits):
    return f"{value:,.{digits}f}"


def cell(found, digits):
    if not found:
        return "–"
    text = number(found["median"], digits)
    if found["repeats"] > 1:
        text += f" ({number(found['min'], digits)} to {number(found['max'], digits)})"
    return text + (" ~" if found["noisy"] else "")


def quoted(judged, repeats):
    if not judged:
        return "–"
    text = f"{judged['median']:.2f}"
    return text + (f" ({judged['min']:.2f} to {judged['max']:.2f})" if repeats > 1 else "")


def markdown(report):
    peers = report["peers"]
    head = ["", *(title for title in peers.values()), "framegate ÷ best peer", "target", "verdict"]
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in report["rows"]:
        figures = line["figures"]
        repeats = figures.get(OURS, {}).get("repeats", 0)
        cells = [f"{line['title']}: {line['unit']}"]
        cells += [cell(figures.get(peer), line["digits"]) for peer in peers]
        cells += [quoted(line["ratio"], repeats), line["target"] or "", line["verdict"] or ""]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join([*table, "", *notes(report), ""])


def notes(report):
    about = report["about"]
    said = [
        f"{about['date']}, commit {about['commit']}, `{about['command']}`, {about['minutes']:.0f} minutes.",
        f"{about['machine']}; {about['system']}; {about['versions']}.",
        "Figures are medians (lowest to highest of the repeats); a ratio's range pairs figures of the same repeat. "
        "Trust ratios, not figures: they were taken side by side, the figures depend on the machine. "
        f"`~`: the repeats lie more than {NOISY:.0%} apart.",
    ]
    said += [f"**{warning}**" for warning in report["warnings"]]
    return [line for pair in zip(said, [""] * len(said)) for line in pair]


def warnings(results, repeats, busy):
    """What a reader has to know before quoting anything."""
    found = []
    if repeats < ENOUGH:
        found.append(f"Fewer than {ENOUGH} repeats: a smoke run, nothing in it is to be quoted.")
    if busy > DISTURBED:
        found.append(f"The machine was not idle when the run began: {busy:.0%} of it was in use.")
    every = [
        (name, peer, result) for name, by in results.items() for peer, all in by.items() for result in all if result
    ]
    disturbed = [name for name, _, result in every if result.get("foreign", 0) > DISTURBED]
    if disturbed:
        names = ", ".join(sorted(set(disturbed)))
        found.append(
            f"{len(disturbed)} of {len(every)} measurements were disturbed: others took more than {DISTURBED:.0%} of"
            f" the machine ({names})."
        )
    proxied = [(name, result) for name, peer, result in every if peer != "direct"]
    bound = {name for name, result in proxied if result.get("client_load", 0) > CLIENT_BOUND}
    if bound:
        found.append(f"The load client was the bottleneck in {', '.join(sorted(bound))}: rates are its own.")
    tickets = [
        f"{peer} {result['resumed'] / result['connections']:.0%}"
        for name, peer, result in every
        if name == "resume-wss" and result["connections"] and result["resumed"] < 0.95 * result["connections"]
    ]
    if tickets:
        found.append(f"Not every connection of resume-wss was resumed: {', '.join(tickets)}.")
    for name, by_peer in results.items():
        for peer, all_repeats in by_peer.items():
            if None in all_repeats:
                found.append(f"{name} failed with {peer} in {all_repeats.count(None)} of {len(all_repeats)} repeats.")
    return found


# ---- the chart --------------------------------------------------------------------------------------------------

WIDTH, LABEL, BAR, GAP = 880, 420, 14, 8
FULL = 1.5  # the ratio at the right edge; longer bars are cut and say so
# Readable on white and on dark alike, so that one file does for both.
GOOD, POOR, INK, RULE = "#3f8fd2", "#c9822b", "#808890", "#8f98a3"


def svg(report):
    """Bars of framegate's figure over the best peer's, for the rows where less is better; the tick is the target."""
    lines = [line for line in report["rows"] if line["ratio"] and not line["higher_is_better"]]
    top, step = 46, BAR + GAP
    height = top + len(lines) * step + 12
    unit = (WIDTH - LABEL - 60) / FULL
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        "<title>What framegate takes, over what the best peer takes</title>",
        '<text x="0" y="16" font-size="14">What framegate takes ÷ what the best of nginx and HAProxy takes</text>',
        f'<text x="0" y="34">shorter is better; ticks are targets; {escape(about_line(report))}</text>',
    ]
    one = LABEL + unit
    out.append(f'<text x="{one:.0f}" y="36" text-anchor="middle">1.0</text>')
    for place, line in enumerate(lines):
        y = top + place * step
        value = line["ratio"]["median"]
        length = max(0.0, min(value, FULL)) * unit
        base = y + BAR - 3
        out.append(
            f'<text x="{LABEL - 8}" y="{base}" text-anchor="end">{escape(line["title"])}: {escape(line["unit"])}</text>'
        )
        color = GOOD if value <= 1 else POOR
        out.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{color}"/>')
        out.append(f'<text x="{LABEL + length + 6:.1f}" y="{base}">{value:.2f}</text>')
        factor = target_factor(line)
        if factor is not None:
            x = LABEL + factor * unit
            out.append(
                f'<path d="M{x:.1f} {y - 2}v{BAR + 4}" stroke="{INK}" stroke-width="2"><title>target</title></path>'
            )
    bottom = height - 10
    out.append(f'<path d="M{one:.1f} 40V{bottom}" stroke="{RULE}" stroke-dasharray="3 3" fill="none"/>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def about_line(report):
    return f"{report['about']['date'][:10]}, {report['about']['commit']}"


def target_factor(line):
    row = next((row for row in rows.ROWS if row.key == line["key"]), None)
    return row.target.factor if row and isinstance(row.target, rows.Versus) else None
