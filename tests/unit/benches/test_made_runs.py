"""Drawn runs: what is drawn is a run, and says the same of itself from every side."""

import pytest

from workbench.analysis.failure import outcomes
from workbench.analysis.ledger import ledger, reconciliation, traced
from workbench.analysis.loss import key_states
from workbench.benches.made_runs import TURNS_PER_S, made_run
from workbench.diagnostics.finding import evaluate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A minute and a half, long enough for its cap to be reached."""
    return made_run(tmp_path_factory.mktemp("made") / "run", turns=250_000, seed=1)


def test_drawn_run_has_the_turns_that_were_asked_for_in_parts_of_five_seconds(made):
    assert len(made.turns) == 250_000
    assert made.measured_s == pytest.approx(250_000 / TURNS_PER_S)
    parts = list((made.path / "operations").iterdir())
    assert len(parts) == 2 * 19


def test_turns_ledger_counters_and_last_look_of_a_drawn_run_agree(made):
    """So that a rule which holds them against one another is kept busy, and passes."""
    counts, keys = outcomes(made.turns), key_states(made.key_rows)

    assert counts["evicted"] > 1000
    assert len(made.eviction_rows) == made.samples["evicted_keys"].iloc[-1]
    assert reconciliation(made.eviction_windows).complete_share == 1
    assert ledger(traced(made.eviction_rows, made.turns, made.key_rows)).known > 0
    assert counts["evicted"] + keys["evicted"] <= len(made.eviction_rows)
    found = {each.rule: each.verdict for each in evaluate(made, "loss-explained", "lost-updates")}
    assert found == {"loss-explained": "pass", "lost-updates": "pass"}


def test_seed_decides_what_is_drawn(tmp_path):
    first, same, other = (
        made_run(tmp_path / name, turns=20_000, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert in_order(first).equals(in_order(same))
    assert not in_order(first).equals(in_order(other))


def in_order(run):
    """Turns of one moment come in any order."""
    by = ["unix_s", "conversation", "turn", "delivery"]
    return run.turns.frame().sort_values(by, ignore_index=True)
