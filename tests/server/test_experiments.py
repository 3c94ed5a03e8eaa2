"""Experiments that do something to the server, or to the way there: a few seconds of each."""

import pytest

from tests.commands import only_run, workbench
from workbench.experiments.spec import read_experiment
from workbench.runs.run import Run

pytestmark = pytest.mark.whole_command


@pytest.fixture(autouse=True)
def _engine(server_binary, monkeypatch):
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(server_binary.path))


@pytest.fixture
def carried_out(tmp_path):
    """Carry out an experiment of these tables, and open its run."""

    def carried_out(text, *words):
        path = tmp_path / "made.toml"
        path.write_text(f'mix = "suggested"\nseed = 3\n{text}')
        read_experiment(path)
        process = workbench(tmp_path, "run", path, "--no-report", "--exit-zero", *words)
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        return Run(only_run(tmp_path))

    return carried_out


def verdict_of(run, rule):
    from workbench.diagnostics.finding import evaluate

    (found,) = evaluate(run, rule)
    return found.verdict


def outcomes(run):
    return run.operations["outcome"].astype(str).value_counts()


def test_restart_under_load_loses_nothing_and_is_on_record(carried_out):
    """The AOF holds all; turns are carried out when the server is back."""
    run = carried_out(
        """
        [server]
        profile = "development"
        [load]
        turns_per_s = 100
        warm_up = "1s"
        measure = "7s"
        [[faults]]
        fault = "kill"
        at = "2s"
        lasts = "700ms"
        """
    )

    faults = run.events[run.events["kind"].astype(str) == "fault"]
    (killed,) = faults.itertuples()

    assert (killed.label, killed.elapsed_s) == ("kill", pytest.approx(2.0, abs=0.5))
    assert killed.elapsed_s + killed.duration_s >= 2.7  # a kill that comes late is not put off
    assert run.samples["run_id"].nunique() == 2
    assert set(outcomes(run).index) <= {"ok", "duplicate", "expired"}
    assert verdict_of(run, "lost-updates") == "pass"
    during = run.operations["elapsed_s"].between(killed.elapsed_s, killed.elapsed_s + 0.3)
    assert run.operations["response_us"][during].median() > 100_000


def test_message_that_comes_twice_at_once_is_applied_once(carried_out):
    """One of the deliveries is told so; every acknowledged update is there in the end."""
    run = carried_out(
        """
        [load]
        turns_per_s = 150
        warm_up = "1s"
        measure = "6s"
        [habits]
        duplicate_share = 0.9
        duplicate_within = "1ms"
        """
    )

    turns = run.operations[run.operations["outcome"].astype(str).isin(["ok", "duplicate"])]
    applied = turns[turns["outcome"].astype(str) == "ok"]
    twice = turns.groupby(["conversation", "turn"]).size() == 2

    assert twice.sum() > 300
    assert not applied.duplicated(["conversation", "turn"]).any()
    assert outcomes(run)["duplicate"] == len(turns) - len(applied)
    assert verdict_of(run, "lost-updates") == "pass"
    assert verdict_of(run, "turns-failed") == "pass"


@pytest.mark.slow
def test_message_that_got_no_answer_is_delivered_again_and_applied_once(carried_out):
    """The server stands still for longer than a turn goes on trying; the provider tries anew."""
    run = carried_out(
        """
        [server]
        profile = "development"
        [load]
        turns_per_s = 30
        users = 200
        warm_up = "1s"
        measure = "12s"
        [habits]
        duplicate_share = 0
        redelivery = "1s"
        [[faults]]
        fault = "freeze"
        at = "1s"
        lasts = "4s"
        """
    )

    again = run.operations[run.operations["delivery"] > 0]
    counts = outcomes(run)
    applied = run.operations[run.operations["outcome"].astype(str) == "ok"]

    assert counts["timeout"] > 0
    assert set(again["outcome"].astype(str)) <= {"ok", "duplicate", "timeout", "expired"}
    assert (again["outcome"].astype(str) != "timeout").any()
    assert again["delivery"].max() <= 3
    assert not applied.duplicated(["conversation", "turn"]).any()
    assert verdict_of(run, "lost-updates") == "pass"


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["reference", "fast"])
def test_greeting_that_comes_again_when_its_state_is_gone_is_no_lost_update(carried_out, driver):
    """It begins the conversation anew: what was acknowledged before had expired with its state."""
    run = carried_out(
        f"""
        [load]
        turns_per_s = 100
        warm_up = "1s"
        measure = "14s"
        ttl = "3s"
        driver = "{driver}"
        [habits]
        duplicate_share = 0.9
        duplicate_within = "8s"
        """
    )

    late = run.operations[
        (run.operations["delivery"] > 0) & (run.operations["operation"] == "write")
    ]

    assert (late["outcome"].astype(str) == "ok").any()
    assert verdict_of(run, "lost-updates") == "pass"
    assert verdict_of(run, "loss-explained") != "fail"


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["reference", "fast"])
def test_message_of_which_only_a_second_delivery_was_answered_is_known_as_written(
    carried_out, driver
):
    """Its conversation is looked for in the end, and its loss has a cause."""
    run = carried_out(
        f"""
        [load]
        turns_per_s = 60
        users = 300
        warm_up = "1s"
        measure = "12s"
        ttl = "2s"
        driver = "{driver}"
        [habits]
        duplicate_share = 0
        redelivery = "500ms"
        [[faults]]
        fault = "freeze"
        at = "2s"
        lasts = "4s"
        """
    )

    applied = run.operations[run.operations["outcome"].astype(str).isin(["ok", "duplicate"])]

    assert (run.operations["outcome"].astype(str) != "missing").all()
    assert verdict_of(run, "loss-explained") != "fail"
    assert verdict_of(run, "lost-updates") == "pass"
    assert set(applied["conversation"]) <= {
        *run.keys["conversation"],
        *run.operations["conversation"][run.operations["outcome"].astype(str) == "expired"],
    }


def test_tasks_with_a_redis_each_do_not_find_each_others_conversations(carried_out):
    """Of two, half of the turns come to the wrong one; with one there is none."""
    run = carried_out(
        """
        [server]
        tasks = 2
        [load]
        turns_per_s = 150
        warm_up = "1s"
        measure = "6s"
        """
    )

    needing = run.operations[run.operations["operation"].astype(str) == "update"]
    share = (needing["outcome"].astype(str) == "elsewhere").mean()

    assert 0.4 < share < 0.6
    assert verdict_of(run, "state-elsewhere") == "fail"
    assert verdict_of(run, "lost-updates") == "pass"
    assert (run.path / "redis-task1.conf").exists()
    assert not list(run.path.glob("server*"))


@pytest.mark.slow
def test_pool_that_all_share_is_no_larger_than_was_said(carried_out):
    """Two connections for fifty slots, besides those of the workbench itself."""
    run = carried_out(
        """
        [load]
        turns_per_s = 100
        users = 50
        pool = 2
        warm_up = "1s"
        measure = "4s"
        """
    )

    assert run.samples["connected_clients"].max() < 10
    assert outcomes(run)["ok"] > 300
    assert verdict_of(run, "turns-failed") == "pass"


@pytest.mark.slow
def test_turns_that_wait_for_a_connection_are_told(carried_out):
    """A pool of two, and a server that answers nobody for half a second."""
    run = carried_out(
        """
        [load]
        turns_per_s = 100
        users = 50
        pool = 2
        warm_up = "1s"
        measure = "4s"

        [[faults]]
        fault = "freeze"
        at = "1s"
        lasts = "900ms"
        """
    )

    assert verdict_of(run, "client-pool") == "fail"


def test_idle_sessions_fill_the_cap_and_are_what_is_evicted(carried_out):
    """They were idle for longer than those who go on, and are looked for in the end as well."""
    run = carried_out(
        """
        [server]
        maxmemory = "6mb"
        [load]
        turns_per_s = 60
        warm_up = "1s"
        measure = "5s"
        prefill_share = 0.97
        """
    )

    first = run.samples[run.samples["elapsed_s"] <= -1.0].iloc[-1]
    evicted = run.keys[run.keys["state"].astype(str) == "evicted"]

    assert first["used_memory"] > 0.9 * first["maxmemory"]
    assert len(run.keys) > 1000
    assert (evicted["conversation"] >= 500_000_000).mean() > 0.8
    assert verdict_of(run, "loss-explained") == "pass"


@pytest.mark.slow
def test_compressed_pauses_are_told_and_their_evictions_doubted(carried_out):
    """A clock of whole seconds hardly tells a pause of two seconds from one of three."""
    run = carried_out(
        """
        [server]
        maxmemory = "3mb"
        [load]
        turns_per_s = 200
        warm_up = "1s"
        measure = "6s"
        compression = 4
        """
    )

    assert run.manifest.experiment["compression"] == 4
    assert outcomes(run)["evicted"] > 10
    assert verdict_of(run, "lru-clock") == "fail"


def test_faults_are_refused_on_a_server_that_is_not_ours(tmp_path, redis_server):
    """Nothing is started, nothing is written."""
    path = tmp_path / "made.toml"
    path.write_text('[[faults]]\nfault = "freeze"\nat = "1s"\n')

    process = workbench(tmp_path, "run", path, "--url", redis_server.url)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "servers of our own only" in err
    assert not (tmp_path / "runs").exists()
