"""The bench of what-if without servers: its error, its workloads, its page."""

import numpy as np
import pandas as pd
import pytest

from workbench.analysis.simulator import Outcome
from workbench.benches.figure import Report
from workbench.benches.whatif import _figures, error, page
from workbench.benches.workloads import WORKLOADS


def outcome(evicted, expired=0):
    return Outcome(
        turns=1000,
        needing=1000,
        evicted=evicted,
        expired=expired,
        refused=0,
        evicted_keys=0,
        expired_keys=0,
        keys=0,
        used_bytes=0.0,
        keys_p50=0.0,
    )


def row(**more):
    return {
        "engine": "redis",
        "workload": "mix",
        "policy": "allkeys-lru",
        "maxmemory_bytes": 4 * 1024**2,
        "turns": 1000,
        "evicted_share": 0.2,
        "expired_share": 0.01,
        "simulated_evicted_share": 0.203,
        "simulated_expired_share": 0.01,
        "keys": 900.0,
        "simulated_keys": 905.0,
        "error": 0.003,
        "error_by_keys": 0.001,
        "error_exact_lru": 0.02,
        "accesses_per_s": 20_000.0,
        **more,
    }


def test_error_counts_what_is_told_as_expired_and_was_evicted():
    """As many were lost, but not for the reason that is told."""
    real = outcome(200, 50)

    assert error(real, real) == 0
    assert error(outcome(210, 50), real) == pytest.approx(0.01)
    assert error(outcome(250, 0), real) == pytest.approx(0.1)


def test_mean_error_over_a_hundredth_does_not_hold():
    """The control of the figures: a simulation that is off is found out."""
    good, bad = (
        next(iter(_figures(pd.DataFrame([row(error=each), row(error=each)]))))
        for each in (0.004, 0.02)
    )

    assert (good.holds, bad.holds) == (True, False)


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_is_the_same_for_the_same_seed(name):
    """In the order of time, within its seconds; another seed makes another."""
    made, same, other = (WORKLOADS[name](5000, seed) for seed in (1, 1, 2))

    for column in ("at_s", "key", "value_bytes", "ttl_s"):
        assert np.array_equal(getattr(made, column), getattr(same, column))
    assert not np.array_equal(made.key, other.key)
    assert np.all(np.diff(made.at_s) >= 0)
    assert 0 <= made.at_s[0] <= made.at_s[-1] < 6.0
    assert len(made) > 2500
    assert made.keys == made.key.max() + 1


def test_page_has_a_row_for_every_replay_and_says_how_to_make_it_again():
    """What was never evicted has no median of keys."""
    rows = [row(), row(engine="valkey", keys=None, simulated_keys=None)]
    figures = list(_figures(pd.DataFrame(rows)))
    report = Report("whatif", False, figures, "Redis 7.0.15", details={"rows": rows, "seed": 3})

    text = page(report.as_dict())

    assert "workbench bench whatif --markdown docs/reference/what-if.md" in text
    assert "by the seed 3" in text
    assert text.count("| mix | allkeys-lru | 4 MiB | 20 % | 20.3 % |") == 2
    assert "| – | – |" in text
    assert "nan" not in text
