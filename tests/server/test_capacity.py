"""``workbench capacity`` as a person meets it: real runs, and what is refused."""

import json
import signal

import pytest

from tests.commands import processes_below, under_load, workbench
from tests.waiting import wait_until
from workbench.runs.run import Run

pytestmark = [pytest.mark.whole_command, pytest.mark.quiet]

SMALL = """
name = "small"
seed = 7
mix = {{ offer_secured = 1 }}
[server]
maxmemory = "{maxmemory}"
[load]
users = 50
driver = "fast"
warm_up = "1s"
measure = "2s"
think_median = "1s"
think_p95 = "3s"
"""


@pytest.fixture
def small(tmp_path):
    """Write an experiment of two seconds, and objectives; the words that name both."""

    def small(objectives, maxmemory="64mb"):
        experiment, slo = tmp_path / "small.toml", tmp_path / "slo.toml"
        experiment.write_text(SMALL.format(maxmemory=maxmemory))
        slo.write_text(objectives)
        return experiment, "--slo", slo

    return small


def searched(tmp_path, *words):
    """Carry out a search; its exit code, what it told programs, and the runs of its steps."""
    process = workbench(tmp_path, "capacity", *words, "--json")
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    told = json.loads(out)
    return (
        process.returncode,
        told,
        [Run(tmp_path / "runs" / each["run"]) for each in told["steps"]],
    )


@pytest.mark.slow
def test_search_finds_where_memory_no_longer_suffices(tmp_path, small):
    """The more a second, the more is kept: an objective that depends on no machine's speed."""
    words = small("lost_state_share = 0.001\nlost_updates = 0", maxmemory="4mb")

    code, told, runs = searched(
        tmp_path, *words, "--from", 120, "--to", 1920, "--resolution", 0.5, "--duration", "6s"
    )

    met, not_met = told["met_turns_per_s"], told["not_met_turns_per_s"]
    assert (code, told["exit_code"], told["ended"]) == (0, 0, "found"), told
    assert 120 <= met < not_met <= 1.5 * met
    assert "lost_state_share" in told["limits"]
    evicted = {
        each["turns_per_s"]: int(run.samples["evicted_keys"].max())
        for each, run in zip(told["steps"], runs, strict=True)
    }
    assert evicted[not_met] > 0
    assert evicted[120] == 0
    assert [run.manifest.experiment["turns_per_s"] for run in runs] == list(evicted)
    assert {run.manifest.status for run in runs} <= {"complete", "invalid"}
    assert json.loads(next((tmp_path / "runs").glob("capacity-*.json")).read_text())["steps"]
    assert processes_below(tmp_path) == []


def test_lowest_rate_that_is_too_much_is_told_as_such(tmp_path, small):
    """One run, sealed and judged; and the line that a person reads."""
    words = small('response_p50 = "1us"')
    process = workbench(tmp_path, "capacity", *words, "--from", 100)

    out, err = process.communicate(timeout=120)

    *_, step, answer, path = out.splitlines()
    told = json.loads((tmp_path / "runs" / path.rpartition("/")[2]).read_text())
    (run,) = (tmp_path / "runs").glob("*-small-*")
    if told["ended"] == "unknown":  # on a busy machine the load may be late, twice
        assert process.returncode == 3
        assert "the generator, not the server, was the limit" in answer
        return
    assert process.returncode == 1, out + err
    assert out.count("verdict") == 1
    assert answer.startswith("not met at 100 turns/s: response_p50 is ")
    assert "lower --from" in answer
    assert step.split()[0] == "100"
    assert "not met" in step
    assert run.name in step
    assert json.loads((run / "findings.json").read_text())["slo"]["verdict"] == "fail"
    assert str(tmp_path) not in json.dumps(told["steps"])


@pytest.mark.slow
def test_generator_that_is_the_limit_is_told_as_such(tmp_path, small):
    """One slot cannot carry what is due: nothing is known of the server, and the exit code is 3."""
    words = small('response_p99 = "1h"')

    code, told, runs = searched(tmp_path, *words, "--from", 6000, "--users", 1)

    assert (code, told["ended"], told["met_turns_per_s"]) == (3, "unknown", None), told
    assert "the generator, not the server, was the limit" in told["answer"]
    assert [run.manifest.status for run in runs] == ["invalid"] * 2


def test_interrupted_search_tells_what_is_known(tmp_path, small):
    """Ctrl-C: the run at work is sealed, nothing is left running, the answer is written."""
    words = small('response_p99 = "1h"')
    process = workbench(tmp_path, "capacity", *words, "--duration", "60s", "--json")
    under_load(process, tmp_path)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    told = json.loads(out)
    (run,) = (tmp_path / "runs").glob("*-small-*")
    assert process.returncode == told["exit_code"] == 130, err
    assert (told["ended"], told["steps"]) == ("interrupted", [])
    assert told["answer"] == "interrupted before its end"
    assert Run(run).manifest.status == "interrupted"
    wait_until(lambda: not processes_below(tmp_path), why="nothing left running")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no experiment 'nowhere'"),
        (["--slo", "missing.toml"], "there is no file missing.toml"),
        (["--from", "500", "--to", "100"], "--from 500 is above --to 100"),
        (["--resolution", "0"], "--resolution is 0, outside"),
        (["--url", "redis://127.0.0.1:1", "--engine", "redis"], "--engine is for a private server"),
        (["--out", "s3://bucket/runs"], "--out is 's3:/bucket/runs', and a run is written to"),
        (["--i-own", "there:6379"], "--i-own answers for the server of --url"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_request_starts_nothing(ask, tmp_path, words, said):
    """Exit code 2, and no run directory."""
    code, _, err = ask("capacity", *words)

    assert code == 2
    assert said in err
    assert not (tmp_path / "runs").exists()


def test_closed_loop_has_no_rate_to_search(ask, tmp_path):
    """In a closed loop turns follow the answers."""
    experiment = tmp_path / "closed.toml"
    experiment.write_text("[load]\nclosed_loop = true")

    code, _, err = ask("capacity", experiment)

    assert code == 2
    assert "is a closed loop" in err
