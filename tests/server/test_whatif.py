"""What-if against real servers: replays, their pace, and the command as a person meets it."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

from tests.commands import processes_below, workbench
from tests.conftest import GOLDEN
from tests.waiting import wait_until
from workbench.analysis.accesses import Accesses
from workbench.analysis.key_sizes import KeySizes
from workbench.analysis.simulator import EXACT_LRU, Settings, simulate
from workbench.analysis.whatif import what_if
from workbench.benches.whatif import Cell, measured_cell
from workbench.lab.replay import NAME_BYTES, replay
from workbench.lab.verify import chosen
from workbench.runs.run import Run
from workbench.server.binary import find_binary


def settings_of(real, binary, **more):
    sizes = KeySizes.of(binary.engine, binary.allocator, NAME_BYTES, preload=binary.preload)
    return Settings(sizes=sizes, capacity_bytes=real.capacity_bytes, **more)


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("redis", marks=pytest.mark.capability("redis-on-path")),
        pytest.param("valkey", marks=pytest.mark.capability("embedded-server")),
    ],
)
def test_simulation_finds_what_a_real_server_does(engine, tmp_path):
    """A third of a second of sessions; exactly the least recently used key is another answer."""
    cell = Cell(
        binary=find_binary(engine),
        workload="sessions",
        accesses=20_000,
        policy="volatile-lru",
        maxmemory_bytes=1_900_000,
        faster=10.0,
        folder=tmp_path,
    )

    row = measured_cell(cell)

    assert row["evicted_share"] > 0.15
    assert row["error"] < 0.025
    assert row["error_exact_lru"] > 0.04
    assert row["simulated_keys"] == pytest.approx(row["keys"], rel=0.03)


@pytest.mark.parametrize(
    "renewal",
    ["touch", *(pytest.param(each, marks=pytest.mark.slow) for each in ("creation", "write"))],
)
def test_times_to_live_run_on_the_server_as_they_are_simulated(renewal, tmp_path):
    """From the creation, the write or the touch; what was there before is as old as it was."""
    random = np.random.default_rng(3)
    made = Accesses.of(
        np.sort(random.uniform(0, 0.6, 3000)),
        random.integers(0, 400, 3000),
        writes=random.random(3000) < 0.3,
        ttl_s=0.2,
    )
    held = replace(
        made,
        held_key=np.arange(300, dtype=np.int32),
        held_s=np.linspace(-0.19, 0, 300),
        held_bytes=np.full(300, 900, np.int32),
        held_ttl_s=np.full(300, 0.2, np.float32),
    )
    binary = find_binary()

    real = replay(held, binary=binary, folder=tmp_path / "s", capacity_bytes=10**7, renewal=renewal)
    simulated = simulate(real.accesses, settings_of(real, binary, renewal=renewal))

    assert simulated.evicted == 0
    assert real.outcome.evicted_share < 0.005  # gone in the millisecond in which it ran out
    assert simulated.expired_share == pytest.approx(real.outcome.expired_share, abs=0.03)
    assert real.outcome.expired_share > 0.01


def test_refused_writes_are_counted_on_the_server_as_they_are_simulated(tmp_path):
    """Under noeviction nothing is lost, and what was refused is refused again."""
    made = Accesses.of(np.linspace(0, 1.0, 30_000), np.arange(30_000) % 10_000)
    binary = find_binary()

    real = replay(
        made, binary=binary, folder=tmp_path / "s", capacity_bytes=5_000_000, policy="noeviction"
    )
    simulated = simulate(real.accesses, settings_of(real, binary, policy="noeviction"))

    assert real.outcome.evicted == simulated.evicted == 0
    assert simulated.refused == pytest.approx(real.outcome.refused, rel=0.03)
    assert simulate(real.accesses, settings_of(real, binary, policy=EXACT_LRU)).refused == 0


def test_points_that_are_verified_say_much():
    """Where most is lost, and where about half of that is."""
    found = what_if(Run(GOLDEN))
    points = [found.point(size) for size in found.sizes_bytes]

    most, half = chosen(points)

    assert most.evicted_share == max(point.evicted_share for point in points)
    assert half.evicted_share == pytest.approx(most.evicted_share / 2, abs=0.12)


@pytest.mark.whole_command
def test_command_tells_programs_all_and_writes_the_chart(tmp_path):
    """One JSON object; the chart is written whole, or not at all."""
    words = (
        "whatif",
        GOLDEN,
        "--maxmemory",
        "4mb",
        "--maxmemory",
        "6mb",
        "--policy",
        "allkeys-lfu",
    )
    chart = tmp_path / "curve.svg"

    out, err = workbench(tmp_path, *words, "--chart", chart, "--json").communicate(timeout=60)

    assert "Traceback" not in err
    answer = json.loads(out)
    assert [point["maxmemory_bytes"] for point in answer["points"]] == [4 << 20, 6 << 20]
    assert {point["policy"] for point in answer["points"]} == {"allkeys-lfu"}
    assert answer["measured"]["evicted_share"] == pytest.approx(0.198, abs=0.001)
    assert answer["simulated"]["own"]
    assert answer["chart"] == str(chart)
    assert chart.read_text().rstrip().endswith("</svg>")
    assert [path.name for path in tmp_path.glob("*.svg")] == ["curve.svg"]


@pytest.mark.slow
@pytest.mark.whole_command
def test_interrupted_replay_leaves_nothing_running(tmp_path):
    """The server ends with the command, which exits with 130."""
    words = ("whatif", GOLDEN, "--maxmemory", "3mb", "--maxmemory", "4mb", "--verify")
    process = workbench(tmp_path, *words)
    wait_until(lambda: processes_below(tmp_path), timeout_s=30)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in said
    wait_until(lambda: not processes_below(tmp_path))


@pytest.mark.slow
@pytest.mark.whole_command
def test_bench_holds_and_tells_programs_nothing_that_is_no_number(tmp_path):
    """Quickly, on one engine: every policy and workload, and the time of ten million accesses."""
    out, _ = workbench(tmp_path, "bench", "whatif", "--quick", "--json").communicate(timeout=600)

    report = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    figures = {figure["id"]: figure for figure in report["figures"]}
    assert len(report["rows"]) == 24
    assert figures["error_redis"]["holds"]
    assert figures["ten_million_s"]["must"] == "<=60"
    assert figures["error_exact_lru_redis"]["value"] > 3 * figures["error_redis"]["value"]
