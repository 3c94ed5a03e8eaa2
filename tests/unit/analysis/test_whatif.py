"""Asking a run: its own point against what was measured, what is calibrated, what is refused."""

import shutil
from dataclasses import replace

import pytest

from tests.conftest import GOLDEN
from tests.frames import make_run, snapshot
from workbench.analysis.whatif import what_if
from workbench.errors import RunError, UsageError
from workbench.runs.run import Run
from workbench.units import MIB


@pytest.fixture(scope="module")
def found():
    return what_if(Run(GOLDEN))


def test_own_point_is_what_was_measured(found):
    """Of 1,235 turns 19.8 % lost their state; the golden run's server was filled to its cap."""
    own = found.point(found.maxmemory_bytes)

    assert own.own
    assert own.evicted_share == pytest.approx(found.measured.evicted / 1235, abs=0.01)
    assert own.expired_share == own.refused_share == 0
    assert own.keys == pytest.approx(Run(GOLDEN).samples["keys"].iloc[-1], rel=0.03)


def test_more_memory_loses_fewer_and_less_loses_more(found):
    """The ladder is round the run's own size, which is on it."""
    shares = {size: found.point(size).evicted_share for size in found.sizes_bytes}

    assert found.maxmemory_bytes in shares
    ordered = [shares[size] for size in sorted(shares)]
    assert ordered == sorted(ordered, reverse=True)
    assert ordered[-1] == 0
    assert ordered[0] > 0.5


def test_shorter_time_to_live_expires_what_was_kept(found):
    """Another point is not the run's own; its exact twin without a change is."""
    size = found.maxmemory_bytes
    short, fixed, same = (
        found.point(size, ttl_s=8.0),
        found.point(size, ttl_s=8.0, renewal="creation"),
        found.point(size, ttl_s=300.0, policy="allkeys-lru", renewal="write"),
    )

    assert 0.2 < short.expired_share < fixed.expired_share
    assert short.evicted_share < same.evicted_share
    assert [each.own for each in (short, fixed, same)] == [False, False, True]


def test_policy_that_evicts_nothing_refuses(found):
    """As many find no room as there is too little of it."""
    none = found.point(found.maxmemory_bytes, policy="noeviction")

    assert none.evicted_share == 0
    assert none.refused_share > 0.2


def test_fixed_part_is_what_samples_leave(found):
    """The golden run's server took 1 MiB empty, and its 20 clients half a MiB more."""
    assert 1.4 * MIB < found.fixed_bytes < 1.9 * MIB
    assert found.settings.sizes.scale == 1.0
    assert "cost what they are known to" in found.calibrated


def test_keys_that_cost_more_than_they_should_are_told_by_the_samples(tmp_path):
    """A run whose server said of 1.2 times as much memory for keys while they grew in number."""
    turns = [
        {
            "elapsed_s": n / 20,
            "conversation": n,
            "operation": "write",
            "age_s": None,
            "value_bytes": 2500,
        }
        for n in range(400)
    ]
    by_key = 1.2 * (2560 + 2 * 32 + 16 + 32 + 2 * 8 * 1.3)
    seen = [
        {
            "elapsed_s": at,
            "keys": 20 * at,
            "used_memory": round(2 * MIB + by_key * 20 * at),
            "mem_not_counted_for_evict": 0,
            "maxmemory": 50 * MIB,
        }
        for at in range(1, 20)
    ]
    run = make_run(tmp_path / "run", operations=turns, samples=seen, experiment={"scenario": "x"})

    found = what_if(run)

    assert found.settings.sizes.scale == pytest.approx(1.2, abs=0.03)
    assert found.fixed_bytes == pytest.approx(2 * MIB, rel=0.03)


def test_what_the_simulation_leaves_out_is_said(tmp_path):
    """A server that was restarted, of another version, and a loop that followed its answers."""
    turns = [{"elapsed_s": n, "outcome": "restarted" if n == 5 else "ok"} for n in range(9)]
    run = make_run(
        tmp_path / "run",
        operations=[*turns, {"elapsed_s": 9.0, "outcome": "timeout"}],
        samples=[{"elapsed_s": 3.0, "mem_not_counted_for_evict": 0}],
        snapshots=[snapshot(0.0)],
        experiment={"scenario": "x", "closed_loop": True},
    )

    said = " ".join(what_if(run).cautions)

    for words in ("Redis 7.2.5", "closed loop", "restarted", "1 turns without an answer"):
        assert words in said


def test_size_without_room_for_a_key_is_refused(found):
    """The server takes that much without any."""
    with pytest.raises(UsageError, match="no room for any key"):
        found.with_settings(MIB)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"experiment": {"scenario": ""}}, "no turns"),
        ({"experiment": {"scenario": "x", "tasks": 3}}, "3 servers"),
        ({"samples": [{"elapsed_s": 1.0, "maxmemory": 0}]}, "no maxmemory"),
        ({"samples": [{"elapsed_s": 500.0}]}, "no sample"),
    ],
)
def test_run_that_cannot_be_asked_says_why(tmp_path, made, said):
    """And what to do, where something can be done."""
    calm = {
        "operations": [{"elapsed_s": 1.0}, {"elapsed_s": 2.0}],
        "samples": [{"elapsed_s": 1.5}],
        "experiment": {"scenario": "x"},
    }
    run = make_run(tmp_path / "run", **{**calm, **made})

    with pytest.raises(RunError, match=said):
        what_if(run)


def test_engine_of_which_nothing_is_known_is_refused(tmp_path):
    """Nobody guesses how it lays its keys out."""
    shutil.copytree(GOLDEN, tmp_path / "run")
    run = Run(tmp_path / "run")
    run.manifest.server = {**run.manifest.server, "engine": "keydb"}

    with pytest.raises(UsageError, match="keydb"):
        what_if(run)


def test_ladder_leaves_out_sizes_without_room(found):
    """A server that takes most of its cap for itself."""
    crowded = replace(found, fixed_bytes=4.9 * MIB)

    assert min(crowded.sizes_bytes) > 4.9 * MIB
