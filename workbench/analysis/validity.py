"""Whether the generator and the sampler kept up: if not, a run's figures do not hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.analysis.failure import sent
from workbench.analysis.latency import percentiles_us
from workbench.analysis.windows import Turns, needed_rows
from workbench.runs.rows import Rows
from workbench.runs.schema import UNANSWERED
from workbench.units import format_count, format_duration, format_share

__all__ = ["SLOW_US", "Validity", "reasons_against", "validity"]

LAG_SHARE_MAX = 0.10
LAG_FLOOR_US = 5_000.0
DELIVERED_SHARE_MIN = 0.98
CPU_SHARE_MAX = 0.85
SAMPLE_GAP_MAX_S = 2.0
STARVED_SHARE_MAX = 0.10
SLOW_US = 10_000.0
# The floor of the lag keeps a calm run valid: of its response p99 of 1.85 ms, 1.54 ms were timers.


@dataclass(frozen=True, slots=True)
class Validity:
    """
    What was looked at, and what was wrong.

    Attributes:
        reasons: why the figures do not hold, a sentence each; empty if they do.
        turns: turns due in the measured phase.
        delivered_share: completed ÷ due.
        lag_us_p99, response_us_p99: of the measured phase; NaN for fewer than 100 turns.
        cpu_share: of one core, that the busiest load process used on average.
        sample_gap_max_s: longest time between two samples.
    """

    reasons: tuple[str, ...]
    turns: int
    delivered_share: float
    lag_us_p99: float
    response_us_p99: float
    cpu_share: float
    sample_gap_max_s: float

    @property
    def valid(self) -> bool:
        """Whether the figures hold."""
        return not self.reasons


def validity(
    measured: Turns,
    generator: pd.DataFrame,
    samples: pd.DataFrame,
    events: pd.DataFrame,
    *,
    measured_s: float,
) -> Validity:
    """
    Look whether load and sampling kept up in the measured phase.

    Args:
        measured: turns due in the measured phase.
        generator: seconds of the load processes.
        samples: INFO samples.
        events: of the run.
        measured_s: length of the phase, s; the frames' ``elapsed_s`` counts from its start.
    """
    rows = needed_rows(measured, "elapsed_s", "outcome", "service_us")
    lag_us = percentiles_us(rows, "lag_us")["p99"]
    response_us = percentiles_us(rows)["p99"]
    turns = len(rows)
    delivered = len(sent(rows)) / turns if turns else 0.0
    during = generator[generator["elapsed_s"].between(0, measured_s + 1)]
    # Of several processes the busiest is late first: a mean over all would hide it.
    cpu_share = float(during.groupby("worker")["cpu_share"].mean().max())
    gap_s = _longest_gap_s(samples, events[events["detail"] == UNANSWERED], measured_s)
    moved = events["label"][events["kind"] == "clock_step"]
    reasons = reasons_against(
        turns=turns,
        delivered_share=delivered,
        lag_us_p99=lag_us,
        response_us_p99=response_us,
        starved_share=_starved_share(during, rows),
        cpu_share=None if during.empty else cpu_share,
        sample_gap_max_s=gap_s,
        clock_steps=tuple(moved),
    )
    return Validity(reasons, turns, delivered, lag_us, response_us, cpu_share, gap_s)


def reasons_against(
    *,
    turns: int,
    delivered_share: float,
    lag_us_p99: float,
    response_us_p99: float,
    starved_share: float,
    cpu_share: float | None,
    sample_gap_max_s: float = 0.0,
    clock_steps: Sequence[str] = (),
    workers_lost: Sequence[str] = (),
) -> tuple[str, ...]:
    """
    Why figures do not hold, and what to do, a sentence each.

    Args:
        turns: due in the measured phase.
        delivered_share: completed ÷ due.
        lag_us_p99: of the measured phase.
        response_us_p99: likewise.
        starved_share: seconds in which turns waited for a slot although the server was fast.
        cpu_share: of one core, of the busiest load process; None if it is not known.
        sample_gap_max_s: longest time between two samples; 0 where nothing was to be sampled.
        clock_steps: by how much the machine's clock was moved, each time.
        workers_lost: load processes that ended before their time, by name.
    """
    reasons = [
        f"{name} was lost: what it was to offer is missing; look at its log, and run it again"
        for name in workers_lost
    ]
    if turns < 100:
        few = f"only {format_count(turns, 'turn')}" if turns else "no turn"
        reasons.append(f"{few} came due in the measured phase: lengthen it")
    elif lag_us_p99 > max(LAG_SHARE_MAX * response_us_p99, LAG_FLOOR_US):
        reasons.append(
            f"the generator was late: lag p99 {format_duration(lag_us_p99 / 1e6)} of a response "
            f"p99 of {format_duration(response_us_p99 / 1e6)}; lower --rate, or quieten the machine"
        )
    if turns and delivered_share < DELIVERED_SHARE_MIN:
        reasons.append(
            f"only {format_share(delivered_share)} of the turns due were completed; lower --rate"
        )
    if starved_share > STARVED_SHARE_MAX:
        reasons.append(
            f"turns waited for a free slot in {format_share(starved_share)} of the seconds "
            "although the server was fast; raise --users"
        )
    if cpu_share is None:
        reasons.append("the load recorded no second of itself: whether it kept up is not known")
    elif cpu_share > CPU_SHARE_MAX:
        reasons.append(f"the load used {format_share(cpu_share)} of a core; lower --rate")
    if sample_gap_max_s > SAMPLE_GAP_MAX_S:
        reasons.append(
            f"the sampler missed {format_duration(sample_gap_max_s)} of the measured phase"
        )
    reasons += [
        f"the machine's clock was moved by {moved}: times to live, which the server counts by it, "
        "do not hold"
        for moved in clock_steps
    ]
    return tuple(reasons)


def _longest_gap_s(samples: pd.DataFrame, faults: pd.DataFrame, measured_s: float) -> float:
    """Longest time between two samples, less that in which the server was kept from answering."""
    during = samples["elapsed_s"][samples["elapsed_s"].between(0, measured_s)]
    edges = pd.concat([pd.Series([0.0]), during, pd.Series([measured_s])], ignore_index=True)
    excused = pd.Series(0.0, index=edges.index)
    for start_s, lasts_s in zip(faults["elapsed_s"], faults["duration_s"], strict=True):
        within = edges.clip(upper=start_s + lasts_s) - edges.shift().clip(lower=start_s)
        excused += within.clip(lower=0).fillna(0)
    return float((edges.diff() - excused).max())


def _starved_share(seconds: pd.DataFrame, turns: Rows) -> float:
    """
    Seconds in which turns waited for a slot although the server was fast.

    While it stalls, turns wait too, but not for want of slots: it was slow in a second if turns
    of over 10 ms took most of the slots' time in it.
    """
    waiting_s = [float(end_s) for end_s in seconds["elapsed_s"][seconds["turns_waiting"] > 0]]
    if not waiting_s or not len(turns):
        return 0.0
    # A turn holds its slot from start to stop. Both it and a second of the load are cut at whole
    # seconds, so that each piece meets those of its own second alone.
    found = turns.ask(
        f"""
        with held as (
            select elapsed_s + response_us / 1e6 as stop_s, stop_s - service_us / 1e6 as start_s,
            service_us > {SLOW_US} as slow from rows
        ), pieces as (
            select *, unnest(range(floor(start_s)::bigint, floor(stop_s)::bigint + 1)) as cut_s
            from held
        ), waited as (
            select unnest($ends_s) as end_s, generate_subscripts($ends_s, 1) as number
        ), cuts as (
            select *, unnest([floor(end_s)::bigint - 1, floor(end_s)::bigint]) as cut_s from waited
        ), sums as (
            select number, slow, sum(greatest(0, least(stop_s, end_s, cut_s + 1)
            - greatest(start_s, end_s - 1, cut_s))) as held_s
            from cuts join pieces using (cut_s) group by number, slow
        )
        select number, sum(held_s) as held_s, sum(held_s) filter (slow) as slow_s
        from sums group by number
        """,
        ends_s=waiting_s,
    )
    stalled = found["slow_s"].fillna(0) > found["held_s"] / 2
    return float(len(waiting_s) - stalled.sum()) / len(seconds)
