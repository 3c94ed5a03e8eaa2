"""What a comparison of runs comes to: a finding a figure, and one on all of them."""

from typing import Final

from workbench.analysis.comparison import Comparison, Difference
from workbench.diagnostics.finding import Finding, Findings, Verdict

__all__ = ["judge_comparison"]

_VERDICTS: Final[dict[str, Verdict]] = {
    "worse": "fail",
    "better": "pass",
    "no worse": "pass",
    "unknown": "unknown",
}
_SOURCE: Final = (
    "blocks of time or whole runs drawn again (scipy.stats.bootstrap), Student's t with Welch's "
    "degrees of freedom, all bounds together at 95 %; docs/how-to/compare-runs.md"
)
_TWICE: Final = Finding(
    rule="compare-runs",
    title="Is any figure worse than the baseline's?",
    severity="warning",
    verdict="unknown",
    says="the same run stands on both sides, and a run is no worse than itself",
    advice="name two runs: the baseline, and the one that is held against it",
    source=_SOURCE,
)
_ORDER: Final = ("fail", "unknown", "pass")


def judge_comparison(comparison: Comparison) -> Findings:
    """
    Whether any figure that weighs is worse than the baseline's, beyond its bounds.

    A figure fails that is worse by more than the tolerance, and whose bounds leave out that it is
    not worse at all. It passes if the bounds leave out that it is worse by more than the tolerance;
    else it is unknown, and says how much more data would do. Figures of severity info explain the
    others.
    """
    if comparison.twice:
        return Findings([_TWICE])
    findings = [_finding(each, comparison) for each in comparison.differences]
    shown = sorted(findings, key=lambda each: (each.severity == "info", _ORDER.index(each.verdict)))
    return Findings(shown)


def _finding(each: Difference, comparison: Comparison) -> Finding:
    verdict = _VERDICTS[each.verdict]
    figure = each.figure
    names = comparison.baseline.name, comparison.other.name
    says = {
        "worse": f"{figure.title}: worse, {each.told}",
        "better": f"{figure.title}: better, {each.told}",
        "no worse": f"{figure.title}: no worse, {each.told}",
        "unknown": f"{figure.title}: {each.why}",
    }[each.verdict]
    return Finding(
        rule=f"compare-{figure.name.replace('_', '-')}",
        title=f"Is it worse than the baseline: {figure.title}?",
        severity="warning" if figure.weighs else "info",
        verdict=verdict,
        says=says,
        evidence={
            f"baseline, {names[0]}": figure.told(each.baseline),
            names[1]: figure.told(each.other),
            "change (bounds)": each.told,
        },
        advice=_advice(each, comparison),
        source=_SOURCE,
    )


def _advice(each: Difference, comparison: Comparison) -> str:
    if each.verdict == "unknown":
        return "measure longer, or repeat both with three runs on each side"
    alone = comparison.other.parts is not comparison.other.whole
    if each.verdict == "worse" and alone:
        return (
            "repeat both, three runs on each side, before what was changed is blamed: two runs may "
            "differ by what else the machine did"
        )
    return "look for what was changed between the two sides" if each.verdict == "worse" else ""
