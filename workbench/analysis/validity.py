"""Whether the generator and the sampler kept up: if not, a run's figures do not hold."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.latency import percentiles_us
from workbench.units import format_count, format_duration, format_share

__all__ = ["Validity", "validity"]

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
        cpu_share: of one core, that the load used on average.
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
    measured: pd.DataFrame,
    generator: pd.DataFrame,
    samples: pd.DataFrame,
    events: pd.DataFrame,
    *,
    measured_s: float,
) -> Validity:
    """
    Look whether load and sampling kept up in the measured phase.

    Args:
        measured: operations due in the measured phase.
        generator: seconds of the load processes.
        samples: INFO samples.
        events: of the run.
        measured_s: length of the phase, s; the frames' ``elapsed_s`` counts from its start.
    """
    lag_us = percentiles_us(measured, "lag_us")["p99"]
    response_us = percentiles_us(measured)["p99"]
    turns = len(measured)
    delivered = float((measured["outcome"] != "unsent").mean()) if turns else 0.0
    during = generator[generator["elapsed_s"].between(0, measured_s + 1)]
    cpu_share = float(during["cpu_share"].mean())
    gap_s = _longest_gap_s(samples, measured_s)

    reasons = []
    if turns < 100:
        few = f"only {format_count(turns, 'turn')}" if turns else "no turn"
        reasons.append(f"{few} came due in the measured phase: lengthen it")
    elif lag_us > max(LAG_SHARE_MAX * response_us, LAG_FLOOR_US):
        reasons.append(
            f"the generator was late: lag p99 {format_duration(lag_us / 1e6)} of a response p99 of "
            f"{format_duration(response_us / 1e6)}; lower --rate, or quieten the machine"
        )
    if turns and delivered < DELIVERED_SHARE_MIN:
        reasons.append(
            f"only {format_share(delivered)} of the turns due were completed; lower --rate"
        )
    starved = _starved_share(during, measured)
    if starved > STARVED_SHARE_MAX:
        reasons.append(
            f"turns waited for a free slot in {format_share(starved)} of the seconds although the "
            "server was fast; raise --users"
        )
    if during.empty:
        reasons.append("the load recorded no second of itself: whether it kept up is not known")
    if cpu_share > CPU_SHARE_MAX:
        reasons.append(f"the load used {format_share(cpu_share)} of a core; lower --rate")
    if gap_s > SAMPLE_GAP_MAX_S:
        reasons.append(f"the sampler missed {format_duration(gap_s)} of the measured phase")
    reasons += [
        f"the machine's clock was moved by {moved}: times to live, which the server counts by it, "
        "do not hold"
        for moved in events["label"][events["kind"] == "clock_step"]
    ]
    return Validity(tuple(reasons), turns, delivered, lag_us, response_us, cpu_share, gap_s)


def _longest_gap_s(samples: pd.DataFrame, measured_s: float) -> float:
    during = samples["elapsed_s"][samples["elapsed_s"].between(0, measured_s)]
    edges = pd.concat([pd.Series([0.0]), during, pd.Series([measured_s])])
    return float(edges.diff().max())


def _starved_share(seconds: pd.DataFrame, measured: pd.DataFrame) -> float:
    """
    Seconds in which turns waited for a slot although the server was fast.

    While it stalls, turns wait too, but not for want of slots: it was slow in a second if turns
    of over 10 ms took most of the slots' time in it.
    """
    if seconds.empty or measured.empty:
        return 0.0
    service_us = measured["service_us"]
    stop_s = measured["elapsed_s"] + measured["response_us"] / 1e6
    start_s = stop_s - service_us / 1e6
    starved = 0
    for end_s in seconds["elapsed_s"][seconds["turns_waiting"] > 0]:
        held_s = (stop_s.clip(upper=end_s) - start_s.clip(lower=end_s - 1)).clip(lower=0)
        starved += bool(held_s[service_us > SLOW_US].sum() <= held_s.sum() / 2)
    return starved / len(seconds)
