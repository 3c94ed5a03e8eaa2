"""Whether the documented size is safe under a limit and a load, and which one is."""

from typing import Final

from workbench.analysis.safe_size import COMMANDS, WITHIN, SafeSize
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.units import MIB, format_bytes, format_duration, format_share

__all__ = ["judge_safe_size"]

_ORDER: Final = ("fail", "unknown", "pass")
_SHARE_LEAST: Final = 0.9
_POINTS_LEAST: Final = 12


def judge_safe_size(found: SafeSize) -> Findings:
    """
    Whether the documented size is safe, which one is, and whether the law that says so holds.

    The first fails if the law has the documented cap pass its limit while a rewrite runs; the
    second if the grid saw that happen; the third if the law was wrong on points it had not seen.
    """
    judged = [_advised(found), _documented(found), _predictions(found)]
    return Findings(sorted(judged, key=lambda each: _ORDER.index(each.verdict)))


def _advised(found: SafeSize) -> Finding:
    title = f"Is the documented maxmemory safe under {found.load}?"
    documented = found.documented
    evidence = {"documented formula": f"maxmemory {format_bytes(found.documented_bytes)}"}
    advice = found.why
    verdict: Verdict = "unknown"
    says = "it is not known which maxmemory is safe"
    if documented is not None:
        evidence["its peak"] = _between(documented.low_bytes, documented.high_bytes)
        safe = documented.high_bytes <= found.limit_bytes
        verdict = "pass" if safe else "fail"
        says = (
            f"the documented {format_bytes(found.documented_bytes)} come to "
            f"{_between(documented.low_bytes, documented.high_bytes)} while a rewrite runs"
        )
    if found.advice is not None:
        told = found.advice
        says += f"; safe is a maxmemory of {format_bytes(told.maxmemory_bytes)}"
        advice = f"set maxmemory {told.maxmemory_bytes // MIB}mb, or raise the limit"
        if verdict == "pass":
            advice = ""
        evidence |= {
            "safe": f"maxmemory {format_bytes(told.maxmemory_bytes)}, "
            f"{format_share(told.maxmemory_bytes / found.limit_bytes)} of the limit",
            **{
                f"of it, {term.title}": format_bytes(term.bytes)
                for term in told.peak.terms
                if term.bytes
            },
            "a rewrite": format_duration(told.peak.rewrite_s),
            **{fit.layout.name: f"{fit.sessions:,} sessions" for fit in found.fits},
            **{f"outside, {at}": text for at, text in enumerate(told.outside, start=1)},
        }
    return Finding(
        rule="safe-size",
        title=title,
        severity="critical",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        why="a server that the kernel kills loses every conversation that its AOF has not",
        source="the law of the peak"
        + (f", fitted on {found.fitted_on}" if found.fitted_on else "")
        + ": docs/reference/sizing.md",
    )


def _documented(found: SafeSize) -> Finding:
    cells = found.cells
    verdict: Verdict = "unknown"
    evidence: dict[str, str] = {}
    advice = f"measure it: {COMMANDS['memory-grid']}"
    says = "no grid was measured here"
    if len(cells):
        rows = cells[cells["documented"] & (cells["writes_per_s"] > 0)]
        says = "the grid has no cell of the documented formula under writes"
        if len(rows):
            killed = int(rows["killed"].sum())
            verdict = "fail" if killed else "pass"
            says = (
                f"the documented formula was killed in {killed} of {len(rows)} trials in which "
                "sessions were written while a rewrite was due"
            )
            advice = "leave more of the limit free: see safe-size" if killed else ""
            evidence = {
                f"trial {at}": f"{row['writes_per_s']:,.0f} writes/s, "
                + ("killed" if row["killed"] else f"peak {format_share(row['limit_ratio'])}")
                for at, row in enumerate(rows.to_dict("records"), start=1)
            }
    return Finding(
        rule="documented-size-measured",
        title="Does the documented formula outlive a rewrite in a real memory limit?",
        severity="critical",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        source="trials in a memory limit by cgroup: docs/reference/memory-grid.md",
    )


def _predictions(found: SafeSize) -> Finding:
    points = found.points
    verdict: Verdict = "unknown"
    says = "the law was not tried on points that it was not fitted to"
    advice = f"try it: {COMMANDS['sizing']}"
    evidence: dict[str, str] = {}
    if len(points):
        near, killed = int(points["near"].sum()), int(points["killed"].sum())
        off = (points["ratio"][~points["killed"]] - 1).abs()
        says = f"{near} of {len(points)} predicted peaks are within ±{WITHIN:.0%} of the measured"
        says += f", and {killed} killed at the maxmemory that was advised" if killed else ""
        evidence = {
            "farthest off": format_share(float(off.max())),
            "killed": f"{killed} of {len(points)}",
            **_residents(found),
        }
        if len(points) >= _POINTS_LEAST or killed:
            holds = near >= _SHARE_LEAST * len(points) and not killed
            verdict = "pass" if holds else "fail"
            advice = "" if holds else f"fit it on this machine: {COMMANDS['sizing-fit']}"
    return Finding(
        rule="predictions-hold",
        title="Does the law foretell peaks that it has not seen?",
        severity="warning",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        source="held-out points of the bench sizing",
    )


def _residents(found: SafeSize) -> dict[str, str]:
    """How far off the sessions were that were foretold to stay under a cap."""
    told = found.sources["sizing"][0].derived.get("residents", [])
    off = [abs(each["error"]) for each in told]
    return {"sessions, farthest off": format_share(max(off))} if off else {}


def _between(low: float, high: float) -> str:
    return f"{format_bytes(low)} to {format_bytes(high)}"
