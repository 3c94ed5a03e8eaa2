"""
Variants: runs of the same turns that differ in one setting, and what each leaves unserved.

Turns that lost their state, turns that found it expired and turns that failed are counted together:
a server that evicts nothing refuses writes instead, one whose keys live shortly need not evict, and
to a person that is no better.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from workbench.analysis.failure import FAILED
from workbench.analysis.latency import percentiles_us
from workbench.analysis.likeness import check_sides, circumstances, trace_difference
from workbench.analysis.resampling import Interval, Numbers, Spread, groups_of, interval, spreads
from workbench.errors import RunError, UsageError
from workbench.runs.facts import html_table
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["Change", "Variant", "Variants", "variants_of"]

_DOUBT: Final = 0.05
_UNSERVED: Final = ("lost", "expired", "failed")
_SHARES: Final = ("lost_share", "expired_share", "failed_share", "unserved_share")


class Variant(NamedTuple):
    """One of the runs, and the value that the knob has in it."""

    value: str
    run: Run


@dataclass(frozen=True, slots=True)
class Change:
    """
    How many fewer turns another variant leaves unserved.

    Attributes:
        value: of the knob there.
        bounds: of its share less the first variant's.
    """

    value: str
    bounds: Interval

    @property
    def verdict(self) -> str:
        """``fewer``, ``more`` or ``not told apart``."""
        if self.bounds.high < 0:
            return "fewer"
        return "more" if self.bounds.low > 0 else "not told apart"

    @property
    def told(self) -> str:
        """In percentage points, with the bounds."""
        ends = (self.bounds.value, self.bounds.low, self.bounds.high)
        value, low, high = (f"{100 * end:+.1f}" for end in ends)
        return f"{value} points ({low} to {high})"


class Variants:
    """
    Runs that differ in one setting; the first is what the others are held against.

    Args:
        knob: the setting or the key of the experiment that differs.
        each: value and run, in order.

    Attributes:
        table: a row a variant: ``value``, ``turns`` (sent, each once), ``lost``, ``expired``,
            ``failed``, ``unserved_share``, ``lost_share`` and ``expired_share`` (of those that
            needed a state), ``failed_share``, ``p50`` and ``p99`` (µs), ``failed_p50`` (µs, of
            deliveries that failed), ``memory_peak_share`` of the cap, ``evicted`` keys.
        changes: of each but the first, against it.
        traces: how the turns that came due differ from the first's, by value; empty if in nothing.
    """

    def __init__(self, knob: str, each: Iterable[Variant]) -> None:
        self.knob = knob
        self.each = tuple(each)
        if len(self.each) < 2:
            raise UsageError(
                f"{format_count(len(self.each), 'value')} of {knob}: it takes two to compare"
            )
        self._sums = [groups_of(variant.run) for variant in self.each]
        self.table = pd.DataFrame(_row(*each) for each in zip(self.each, self._sums, strict=True))
        first = self.each[0].run
        told = ((each.value, trace_difference(first, each.run)) for each in self.each[1:])
        self.traces = {value: difference for value, difference in told if difference}
        self.changes = tuple(
            Change(each.value, self._bounds(0, at)) for at, each in enumerate(self.each) if at
        )

    @property
    def best(self) -> str:
        """The value that leaves the fewest unserved."""
        ordered = self.table.sort_values("unserved_share", kind="stable")
        return str(ordered["value"].iloc[0])

    @property
    def like_best(self) -> tuple[str, ...]:
        """The other values of which it is not known that they leave more unserved than the best."""
        values = [each.value for each in self.each]
        best = values.index(self.best)
        return tuple(
            value
            for at, value in enumerate(values)
            if at != best and self._bounds(best, at).low <= 0
        )

    def _bounds(self, first: int, at: int) -> Interval:
        """
        The change of the unserved share, the same conversations drawn again on both sides.

        The turns are the same ones, so that what a conversation meets here is held against what it
        meets there.
        """
        before, after = self._sums[first], self._sums[at]

        def difference(weights: Numbers) -> Numbers:
            return (_unserved(after, weights) - _unserved(before, weights))[None, :]

        (drawn,) = spreads(len(before), difference)
        none = Spread(0.0, 0.0, drawn.parts)
        return interval(none, drawn, doubt=_DOUBT / (len(self.each) - 1))

    def rows(self) -> list[tuple[str, ...]]:
        """One row a variant, for people."""
        changes = {each.value: f"{each.told}: {each.verdict}" for each in self.changes}
        return [
            (
                str(row["value"]),
                f"{row['turns']:,}",
                *(format_share(row[name]) for name in _SHARES),
                changes.get(str(row["value"]), "held against"),
                *(format_duration(row[name] / 1e6) for name in ("p50", "p99")),
                format_share(row["memory_peak_share"]),
                f"{row['evicted']:,.0f}",
            )
            for row in self.table.to_dict("records")
        ]

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in (self._head, *self.rows()))

    def _repr_html_(self) -> str:
        return html_table(self.rows(), head=self._head)

    @property
    def _head(self) -> tuple[str, ...]:
        return (
            self.knob,
            *("turns", "lost their state", "found it expired", "failed", "unserved"),
            "change (bounds)",
            *("p50", "p99", "peak memory, of the cap", "keys evicted"),
        )


def variants_of(knob: str, runs: Sequence[Run], *, varied: Iterable[str] = ()) -> Variants:
    """
    Sealed runs that differ in one setting.

    Args:
        knob: a setting of Redis, or a key of an experiment such as ``ttl``.
        runs: the first is what the others are held against.
        varied: what else was meant to differ.

    Raises:
        RunError: they differ in more, or not in the knob.
        UsageError: no run has such a knob, or there are fewer than two runs.
    """
    names = {*_names(knob), *varied}
    if knob == "maxmemory":  # of which the least size of a rewrite is a share
        names.add("auto-aof-rewrite-min-size")
    for run in runs[1:]:
        known = set(_circumstances(runs[0])) | set(_circumstances(run))
        check_sides(runs[:1], [run], varied=(names & known) or {knob})
    found = [Variant(_value(knob, run), run) for run in runs]
    values = [each.value for each in found]
    if len(set(values)) < len(values):
        raise RunError(
            f"two of these runs have the same {knob}, {_twice(values)}: name one of each value"
        )
    return Variants(knob, found)


def _twice(values: Sequence[str]) -> str:
    return next(value for value in values if values.count(value) > 1)


def _circumstances(run: Run) -> dict[str, str]:
    return circumstances(run.manifest)


def _names(knob: str) -> tuple[str, ...]:
    """As a circumstance of a run: a setting, or a field or a key of the load such as ``ttl``."""
    return knob, f"load.{knob}", f"load.{knob}_s"


def _value(knob: str, run: Run) -> str:
    known = _circumstances(run)
    return next((known[name] for name in _names(knob) if name in known), "unknown")


def _row(variant: Variant, sums: pd.DataFrame) -> dict[str, Any]:
    run, total = variant.run, sums.sum()
    polls = run.samples[run.samples["elapsed_s"].between(0, run.measured_s)]
    evicted = polls["evicted_keys"].astype(float).diff().clip(lower=0).sum()
    capped = polls[polls["maxmemory"] > 0]
    turns = run.measured_turns
    found = percentiles_us(turns)
    failed = percentiles_us(turns.where(f"outcome::varchar in {FAILED}"))
    return {
        "value": variant.value,
        "turns": int(total["sent"]),
        "lost": int(total["lost"]),
        "expired": int(total["expired"]),
        "failed": int(total["failed"]),
        "unserved_share": _share(total[[*_UNSERVED]].sum(), total["sent"]),
        "lost_share": _share(total["lost"], total["needing"]),
        "expired_share": _share(total["expired"], total["needing"]),
        "failed_share": _share(total["failed"], total["sent"]),
        "p50": found["p50"],
        "p99": found["p99"],
        "failed_p50": failed["p50"],
        "memory_peak_share": float((capped["used_memory"] / capped["maxmemory"]).max()),
        "evicted": float(evicted),
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _unserved(sums: pd.DataFrame, weights: Numbers) -> Numbers:
    missed = weights @ sums[[*_UNSERVED]].sum(axis=1).to_numpy(dtype=float)
    found: Numbers = missed / np.maximum(1.0, weights @ sums["sent"].to_numpy(dtype=float))
    return found
