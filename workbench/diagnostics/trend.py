"""Whether the figures of an experiment have become worse over its runs."""

from typing import Final

import pandas as pd

from workbench.analysis.trend import RUNS_LEAST, Course, Trend
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.runs.facts import began
from workbench.units import format_count, format_share

__all__ = ["judge_trend"]

_SOURCE: Final = (
    "each run against the median of the stretch before it, within what is usual there; two in a "
    "row outside are a change; docs/how-to/compare-runs.md"
)
_ORDER: Final = ("fail", "unknown", "pass")


def judge_trend(trend: Trend) -> Findings:
    """
    A finding a figure: it fails if the last change was for the worse.

    It is unknown if there are fewer than five runs, or if the last run alone is worse.
    """
    few = len(trend.runs) < RUNS_LEAST
    if few or not trend.courses:
        return Findings([_too_few(trend)])
    found = [_finding(each, trend) for each in trend.courses]
    return Findings(sorted(found, key=lambda each: _ORDER.index(each.verdict)))


def _too_few(trend: Trend) -> Finding:
    count = format_count(len(trend.runs), "run")
    left = format_count(len(trend.left_out), "run")
    without = f", and {left} left out" if trend.left_out else ""
    says = f"not enough runs: {count} of {trend.experiment}{without}; it takes {RUNS_LEAST}"
    if len(trend.runs) >= RUNS_LEAST:
        says = f"no figure is known in all {count} of {trend.experiment}"
    return Finding(
        rule="trend",
        title=f"Has {trend.experiment} become worse over its runs?",
        severity="warning",
        verdict="unknown",
        says=says,
        evidence=dict(trend.left_out[:5]),
        advice="repeat the experiment, for instance every night: docs/how-to/compare-runs.md",
        source=_SOURCE,
    )


def _finding(course: Course, trend: Trend) -> Finding:
    figure, table = course.figure, course.table
    last = table.iloc[-1]
    medians = course.medians
    changes = course.changes
    stretch = int(last["stretch"])
    evidence = {
        "runs": str(len(table)),
        "last run": f"{figure.told(last['value'])}, {last['run']}",
        "median of its stretch": figure.told(medians[stretch]),
    }
    verdict: Verdict = "pass"
    says = f"{figure.title} is what it was over {format_count(len(table), 'run')}"
    advice = ""
    if not changes.empty:
        changed = changes.iloc[-1]
        since = f"since {changed['run']} ({began(changed['began_unix_s'])})"
        before = figure.told(medians[stretch - 1])
        evidence["median of the stretch before"] = before
        says = (
            f"{figure.title} is {changed['mark']} {since}: {figure.told(medians[stretch])}, and "
            f"{before} before"
        )
        if changed["mark"] == "worse":
            verdict = "fail"
            advice = (
                "look for what was changed between that run and the one before it: workbench "
                f"compare {_before(table, changed['run'])} {changed['run']}"
            )
    alone = last["mark"] == "worse" and last["run"] not in set(changes["run"])
    if alone and (stretch == 0 or table["mark"].iloc[-2] != "worse") and verdict == "pass":
        verdict = "unknown"
        over = last["value"] / medians[stretch] - 1 if medians[stretch] else float("nan")
        says = (
            f"{figure.title} of the last run alone is worse, by {format_share(over)}: "
            f"{figure.told(last['value'])}"
        )
        advice = "run it once more: two in a row are a change, one may be the machine's doing"
    return Finding(
        rule=f"trend-{figure.name.replace('_', '-')}",
        title=f"Has it become worse over the runs of {trend.experiment}: {figure.title}?",
        severity="warning" if figure.weighs else "info",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        source=_SOURCE,
    )


def _before(table: pd.DataFrame, run: str) -> str:
    at = list(table["run"]).index(run)
    return str(table["run"].iloc[at - 1])
