"""
The figures of a load by hand: a table at its end, whether they hold, and the exit code.

No locust in here.
"""

from dataclasses import dataclass
from typing import Final

from loadtests.tally import CLOCKS, Tally
from workbench.units import format_count, format_duration, format_share

__all__ = ["Figures"]

_SAID: Final = {"p50": "p50", "p99": "p99", "p999": "p99.9"}


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What came of a load.

    Args:
        tally: of all processes.
        turns_per_s: the rate that was asked for.
        closed_loop: it was none of rate: turns followed the answers.
        workers_lost: load processes that ended before their time, by name.
    """

    tally: Tally
    turns_per_s: float
    closed_loop: bool = False
    workers_lost: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the figures do not hold; empty if they do."""
        from workbench.analysis.validity import reasons_against  # pandas takes its time

        tally = self.tally
        return reasons_against(
            turns=tally.turns,
            delivered_share=tally.delivered_share,
            lag_us_p99=tally.percentile_us("lag_us", "p99"),
            response_us_p99=tally.percentile_us("response_us", "p99"),
            starved_share=tally.starved_share,
            cpu_share=tally.cpu_share if tally.seconds else None,
            workers_lost=self.workers_lost,
        )

    @property
    def lost_updates(self) -> int:
        """Acknowledged updates that were not there any more."""
        return self.tally.outcomes["lost_update"] + self.tally.updates["lost"]

    @property
    def exit_code(self) -> int | None:
        """1 if updates were lost, 3 if the figures do not hold; else None: Locust has its say."""
        if self.lost_updates:
            return 1
        return 3 if self.reasons else None

    def __str__(self) -> str:
        lines = [self._load(), "", *self._clocks(), "", *self._outcomes()]
        lines += [f"INVALID: {reason}" for reason in self.reasons]
        return "\n".join(lines)

    def _load(self) -> str:
        tally = self.tally
        per_s = tally.turns / tally.measured_s if tally.measured_s else 0.0
        asked = "closed loop" if self.closed_loop else f"open loop, {self.turns_per_s:g} turns/s"
        due = "" if self.closed_loop else f", {format_share(tally.delivered_share)} completed"
        many = f", {tally.processes} processes" if tally.processes > 1 else ""
        return (
            f"{asked}: {format_count(tally.turns, 'turn')} in {format_duration(tally.measured_s)} "
            f"measured ({per_s:.1f}/s){due}{many}"
        )

    def _clocks(self) -> list[str]:
        since = "closed loop: from the send" if self.closed_loop else "from the intended start"
        lines = [f"{'':10}" + "".join(f"{said:>10}" for said in _SAID.values())]
        for clock in CLOCKS:
            cells = [self.tally.percentile_us(clock, name) / 1e6 for name in _SAID]
            told = "".join(f"{format_duration(cell):>10}" for cell in cells)
            note = f"   {since}" if clock == "response_us" else ""
            lines.append(f"{clock.removesuffix('_us'):10}{told}{note}")
        return lines

    def _outcomes(self) -> list[str]:
        outcomes = self.tally.outcomes
        told = " · ".join(f"{name} {count:,}" for name, count in outcomes.most_common())
        needed = self.tally.turns - self.tally.begun
        lost = self.tally.lost
        why = f": {', '.join(f'{cause} {n:,}' for cause, n in lost.items())}" if lost else ""
        return [
            f"outcomes  {told or 'none'}",
            f"lost      {sum(lost.values()):,} of {format_count(needed, 'turn')} "
            f"that needed a state{why}",
            *self._keys(),
            f"updates   {format_count(self.lost_updates, 'acknowledged update')} lost",
        ]

    def _keys(self) -> list[str]:
        """What was found when the load was over, and whether losses and evictions agree."""
        tally = self.tally
        if not tally.keys:
            return ["keys      not looked for: the load was stopped before its end"]
        told = " · ".join(f"{state} {count:,}" for state, count in tally.keys.most_common())
        return [f"keys      {told}", f"evicted   {self._evicted()}"]

    def _evicted(self) -> str:
        tally = self.tally
        gone = tally.evicted_turns + tally.keys["evicted"]
        at_end = tally.keys["evicted"]
        told = f"{tally.evicted_turns:,} found by turns, {at_end:,} at the end: {gone:,}"
        if tally.evicted_keys is None or tally.expired_keys is None:
            return f"{told}; what the server counted is not known"
        # Some were evicted, and asked for only when their time to live had run out as well.
        run_out = tally.expired_turns + tally.keys["expired"]
        late = max(0, run_out - tally.expired_keys)
        more = tally.evicted_keys - gone - late
        off = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "they agree"
        return (
            f"{told}, and {late:,} found after their time to live; the server evicted "
            f"{tally.evicted_keys:,}: {off}"
        )
