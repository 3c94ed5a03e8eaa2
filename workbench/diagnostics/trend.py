"""Whether the figures of an experiment have become worse over its runs."""

from typing import Final

import pandas as pd

from workbench.analysis.comparison import Figure
from workbench.analysis.trend import RUNS_LEAST, Course, Trend
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.runs.facts import began
from workbench.units import format_count, format_share

__all__ = ["judge_trend"]

_SOURCE: Final = (
    "each run against the median of the stretch before it, within what is usual there; two in a "
    "row outside are a change; a rise by Kendall's tau; docs/how-to/compare-runs.md"
)
_LOOK: Final = (
    "look for what was changed between that run and the one before it: workbench compare "
    "{before} {after}"
)
_ORDER: Final = ("fail", "unknown", "pass")


def judge_trend(trend: Trend) -> Findings:
    """
    A finding a figure: it fails if it is worse than in its best stretch, or rises from run to run.

    It is unknown if there are fewer than five runs, or if the last run alone is worse.
    """
    few = len(trend.runs) < RUNS_LEAST
    if few or not trend.courses:
        return Findings([_too_few(trend)])
    found = [_finding(each, trend) for each in trend.courses]
    found.sort(key=lambda each: _ORDER.index(each.verdict))
    return Findings([*found, *(_not_known(each, trend) for each in trend.unknown)])


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
    last, medians = table.iloc[-1], course.medians
    evidence = {
        "runs": str(len(table)),
        "last run": f"{figure.told(last['value'])}, {last['run']}",
        "median of its stretch": figure.told(medians[int(last["stretch"])]),
    }
    if not course.changes.empty:
        evidence["median of the stretch before"] = figure.told(medians[int(last["stretch"]) - 1])
    verdict, says, advice = _told(course)
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


def _told(course: Course) -> tuple[Verdict, str, str]:
    """Verdict, sentence and advice."""
    figure, table, changes, medians = course.figure, course.table, course.changes, course.medians
    last = table.iloc[-1]
    now = medians[int(last["stretch"])]
    since = "" if changes.empty else _since(course)
    match course.standing:
        case "worse":
            changed = str(changes["run"].iloc[-1])
            return "fail", since, _LOOK.format(before=_before(table, changed), after=changed)
        case "still worse":
            assert course.best is not None
            ended = table[table["stretch"] == course.best].iloc[-1]
            begun = table[table["stretch"] == course.best + 1].iloc[0]
            best = figure.told(medians[course.best])
            says = f"{since}; it is still worse than up to {ended['run']}: {best}"
            return "fail", says, _LOOK.format(before=ended["run"], after=begun["run"])
        case "rising":
            assert course.rise is not None
            low, high = map(figure.told, course.rise)
            first, runs = course.stretch.iloc[0], format_count(len(course.stretch), "run")
            says = f"{figure.title} rises from run to run: from {low} to {high} over {runs}"
            advice = (
                "look for what grows from run to run, or was changed little by little: workbench "
                f"compare {first['run']} {last['run']}"
            )
            return "fail", says, advice
        case "last alone":
            over = last["value"] / now - 1 if now else float("nan")
            by = f", by {format_share(over)}" if now else ""
            says = (
                f"{figure.title} of the last run alone is worse{by}: {figure.told(last['value'])}"
            )
            advice = "run it once more: two in a row are a change, one may be the machine's doing"
            return "unknown", says, advice
    runs = format_count(len(table), "run")
    return "pass", since or f"{figure.title} is what it was over {runs}", ""


def _since(course: Course) -> str:
    """What the last change was, and from where to where."""
    figure, medians, changed = course.figure, course.medians, course.changes.iloc[-1]
    stretch = int(changed["stretch"])
    now, before = (figure.told(medians[each]) for each in (stretch, stretch - 1))
    says = (
        f"{figure.title} is {changed['mark']} since {changed['run']} "
        f"({began(changed['began_unix_s'])}): {now}, and {before} before"
    )
    if changed["mark"] == "worse" and course.best is None:
        says += ", for a few runs only; it is no worse than it was before these"
    return says


def _not_known(figure: Figure, trend: Trend) -> Finding:
    least = f": it takes {figure.turns_least:,} turns in each" if figure.turns_least else ""
    return Finding(
        rule=f"trend-{figure.name.replace('_', '-')}",
        title=f"Has it become worse over the runs of {trend.experiment}: {figure.title}?",
        severity="info",
        verdict="unknown",
        says=f"{figure.title} is not known in all {len(trend.runs)} runs{least}",
        source=_SOURCE,
    )


def _before(table: pd.DataFrame, run: str) -> str:
    at = list(table["run"]).index(run)
    return str(table["run"].iloc[at - 1])
