"""Which of several settings leaves the fewest turns unserved, and whether they were put to it."""

from typing import Final

from workbench.analysis.variants import Variants
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.units import format_share

__all__ = ["judge_variants"]

_TURNS_LEAST: Final = 300
_SOURCE: Final = (
    "outcomes of the same turns under each setting; 200 groups of conversations drawn again, all "
    "bounds together at 95 %; docs/how-to/compare-runs.md"
)


def judge_variants(variants: Variants) -> Findings:
    """
    Whether another setting leaves fewer turns unserved than the first, and whether they compare.

    It fails if one does, beyond its bounds; it passes if all others leave more; it is unknown if
    some are not told apart, and none leaves fewer.
    """
    found = [_fewest(variants), _traces(variants)]
    return Findings(reversed(found) if variants.traces else found)


def _fewest(variants: Variants) -> Finding:
    shares = dict(zip(variants.table["value"], variants.table["unserved_share"], strict=True))
    first = variants.each[0].value
    fewer = sorted(
        (each for each in variants.changes if each.verdict == "fewer"),
        key=lambda each: each.bounds.value,
    )
    same = [each.value for each in variants.changes if each.verdict == "not told apart"]
    told = f"{first} leaves {format_share(shares[first])} of the turns unserved"
    advice = ""
    verdict: Verdict
    if variants.traces:
        verdict, says = "unknown", "the runs did not get the same turns"
        advice = "carry them out again, one after the other, with one seed"
    elif variants.table["turns"].min() < _TURNS_LEAST:
        verdict, says = "unknown", f"a run has fewer than {_TURNS_LEAST} turns"
        advice = "measure longer, or raise the rate"
    elif not any(shares.values()):
        verdict, says = "unknown", "every turn was served under each setting"
        advice = "lower the cap, or raise the rate, until the memory is full"
    elif fewer:
        best = fewer[0]
        verdict = "fail"
        says = f"{told}, and {best.value} {format_share(shares[best.value])}: {best.told}"
        advice = (
            f"try {variants.knob} {best.value} on your own load, three runs each, before you "
            "change it"
        )
    elif same:
        verdict = "unknown"
        says = f"{told}, and is not told apart from {' and '.join(same)}"
        advice = "measure longer, or take it that here the choice makes little difference"
    else:
        verdict, says = "pass", f"{told}, and each other setting leaves more"
    return Finding(
        rule="fewest-unserved",
        title=f"Does {first} leave fewer turns unserved than any other {variants.knob}?",
        severity="warning",
        verdict=verdict,
        says=says,
        evidence={
            row["value"]: f"{format_share(row['unserved_share'])} of {row['turns']:,}: "
            f"{row['lost']:,} lost their state, {row['expired']:,} found it expired, "
            f"{row['failed']:,} failed"
            for row in variants.table.to_dict("records")
        },
        advice=advice,
        source=_SOURCE,
    )


def _traces(variants: Variants) -> Finding:
    """Whether the same turns came due under each setting."""
    apart = [f"{value}: {difference}" for value, difference in variants.traces.items()]
    return Finding(
        rule="same-turns",
        title="Did the same turns come due at the same times under each setting?",
        severity="warning",
        verdict="fail" if apart else "pass",
        says="; ".join(apart)
        or f"the same turns came due in all {len(variants.each)} runs, to the millisecond",
        evidence={each.value: each.run.name for each in variants.each},
        advice="give each run the same seed and the same load" if apart else "",
        source="number, turn and moment of every turn of the measured phase, run by run",
    )
