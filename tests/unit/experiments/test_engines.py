"""compare-engines: who is tried, in which order, and what becomes of one that breaks off."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.checkout import measurements_dir
from workbench.errors import RunFailedError, ServerMissingError, UsageError
from workbench.experiments import engines as comparing
from workbench.experiments.engines import KIND, Contestant, compare_engines, contestants, page
from workbench.experiments.spec import read_experiment
from workbench.runs.measurement import read_measurement, write_measurement
from workbench.server.binary import ServerBinary

REDIS = ServerBinary(Path("redis-server"), "redis", "7.0.15", "jemalloc-5.3.0", "path")
VALKEY = ServerBinary(Path("valkey-server"), "valkey", "9.1.2", "libc", "embedded")
PRELOADED = ServerBinary(
    Path("valkey-server"), "valkey", "9.1.2", "libc", "embedded", "libjemalloc.so.2"
)
WHO = [
    Contestant("redis", REDIS),
    Contestant("valkey+jemalloc", PRELOADED),
    Contestant("valkey+libc", VALKEY),
]


@pytest.fixture
def found(monkeypatch):
    """The programs of this machine, by name; one that is not there is missing."""
    known = {each.engine: each.binary for each in WHO} | {"valkey": PRELOADED}

    def find(engine):
        if engine not in known:
            raise ServerMissingError(f"{engine} is not here")
        return known[engine]

    monkeypatch.setattr(comparing, "find_binary", find)
    return known


@pytest.fixture
def carried_out(monkeypatch):
    """No server is started: what would have been, in order; some break off."""
    started, broken = [], {}

    def carry_out(_, out, *, engine, **__):
        started.append(engine)
        if why := broken.get(engine):
            raise RunFailedError(why)
        return Path(out) / engine

    def row(run):
        binary = next(each.binary for each in WHO if each.engine == run.name)
        more = 0.1 * len(started)
        return {
            "name": run.name,
            "engine": binary.engine,
            "version": binary.version,
            "allocator": binary.allocator,
            "preload": binary.preload,
            "allocates_with": binary.allocates_with,
            "run": run.name,
            "status": "complete",
            "document_bytes": 2500.0,
            "sessions_per_mib": {"redis": 300, "valkey+jemalloc": 320, "valkey+libc": 350}[run.name]
            + more,
        }

    def opened(run_dir):
        return SimpleNamespace(name=run_dir.name, manifest=SimpleNamespace(status=STATUS[0]))

    STATUS[0] = "complete"
    monkeypatch.setattr(comparing, "carry_out", carry_out)
    monkeypatch.setattr(comparing, "engine_row", row)
    monkeypatch.setattr(comparing, "doubts", lambda _: [])
    monkeypatch.setattr(comparing, "Run", opened)
    return SimpleNamespace(started=started, broken=broken)


STATUS = ["complete"]


def test_redis_and_valkey_with_either_allocator_are_tried(found):
    """If nobody says otherwise."""
    who, missing = contestants()

    assert [each.engine for each in who] == ["redis", "valkey+jemalloc", "valkey+libc"]
    assert missing == {}


def test_what_the_machine_does_not_have_is_told_and_the_others_are_tried(found):
    """Without a jemalloc to preload two are left."""
    del found["valkey+jemalloc"]

    who, missing = contestants()

    assert [each.engine for each in who] == ["redis", "valkey+libc"]
    assert missing == {"valkey+jemalloc": "valkey+jemalloc is not here"}


def test_one_engine_alone_cannot_be_compared(found):
    """The message has what is missing."""
    del found["valkey+jemalloc"], found["valkey+libc"]

    with pytest.raises(ServerMissingError, match=r"valkey\+libc is not here"):
        contestants()


def test_named_engine_without_jemalloc_is_tried_with_either(found):
    """As Valkey is."""
    own = ServerBinary(Path("own"), "valkey", "8.1.8", "libc", "given", "libjemalloc.so.2")
    found |= {"/own": own, "/own+jemalloc": own}
    found["/own+libc"] = ServerBinary(Path("own"), "valkey", "8.1.8", "libc", "given")

    who, _ = contestants(["/own"])

    assert [each.engine for each in who[3:]] == ["/own+jemalloc", "/own+libc"]


@pytest.mark.parametrize(
    ("given", "says"),
    [("/nowhere", "--engine: /nowhere is not here"), ("valkey+libc", "which is tried already")],
)
def test_named_engine_that_is_none_or_there_already_is_refused(found, given, says):
    """Before minutes are spent."""
    with pytest.raises(UsageError, match=says):
        contestants([given])


def test_each_round_begins_with_another(carried_out, tmp_path):
    """A machine that grows slower is nobody's fault."""
    compare_engines(WHO, rounds=3, out=tmp_path, say=lambda _: None)

    first, second, third = (carried_out.started[at : at + 3] for at in (0, 3, 6))
    assert first == ["redis", "valkey+jemalloc", "valkey+libc"]
    assert second == ["valkey+jemalloc", "valkey+libc", "redis"]
    assert third == ["valkey+libc", "redis", "valkey+jemalloc"]


def test_engine_that_breaks_off_is_told_and_the_others_go_on(carried_out, tmp_path):
    """It is not tried again, and the log's end stays out of the record."""
    carried_out.broken["valkey+libc"] = "it ended with 1; its log ends:\n/srv/secret/place"
    said = []

    done = compare_engines(WHO, rounds=2, out=tmp_path, say=said.append)

    assert carried_out.started.count("valkey+libc") == 1
    assert carried_out.started.count("redis") == 2
    assert done.left_out == {"valkey+libc": "in round 1: it ended with 1"}
    assert any("secret" in each for each in said)
    assert done.engines.names == ("redis", "valkey+jemalloc")


def test_when_all_but_one_break_off_there_is_no_comparison(carried_out, tmp_path):
    """And it says why."""
    carried_out.broken |= dict.fromkeys(("redis", "valkey+libc"), "no disk")

    with pytest.raises(RunFailedError, match="redis: in round 1: no disk"):
        compare_engines(WHO, rounds=2, out=tmp_path, say=lambda _: None)


def test_interrupt_ends_it(carried_out, tmp_path):
    """Nothing is started after a run that was stopped by hand."""
    STATUS[0] = "interrupted"

    with pytest.raises(KeyboardInterrupt):
        compare_engines(WHO, out=tmp_path, say=lambda _: None)

    assert carried_out.started == ["redis"]


def test_experiment_rewrites_when_it_is_planned_and_at_no_other_time():
    """Or a server that holds more would rewrite another number of times."""
    experiment = read_experiment("compare_engines")

    assert experiment.settings["auto-aof-rewrite-percentage"] == "0"
    assert len(experiment.faults) == 2


def test_measurement_makes_the_page_again(carried_out, tmp_path):
    """What was kept is enough: table, differences, seed, command and what was left out."""
    carried_out.broken["valkey+libc"] = "no such thing"
    done = compare_engines(WHO, rounds=3, out=tmp_path, say=lambda _: None)
    command = f"workbench compare-engines --seed {done.experiment.seed}"

    kept = write_measurement(done.measurement(command, tmp_path), tmp_path / "engines.json")
    text = page(read_measurement(kept, "engines"))

    assert f"Seed {done.experiment.seed}" in text
    assert f"    .venv/bin/{command}\n" in text
    assert "Each was tried 3 times" in text
    assert "Left out: valkey+libc: in round 1: no such thing" in text
    assert "sessions by MiB of maxmemory" in text
    assert "**+6" in text
    assert str(tmp_path) not in text


def test_page_is_what_the_measurement_says():
    """Neither was changed without the other."""
    kept = read_measurement(measurements_dir() / "engines.json", KIND)

    assert (measurements_dir().parent / "docs/reference/engines.md").read_text() == page(kept)
