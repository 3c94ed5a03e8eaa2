"""Objectives: read strictly, and kept, broken or unknown, each by itself."""

import datetime
import tomllib
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frames import make_run
from workbench.checkout import slo_file
from workbench.diagnostics import slo as module
from workbench.diagnostics.finding import Finding, Findings, overall
from workbench.diagnostics.slo import TERMS, Slo, SloFindings, judge, read_slo
from workbench.errors import SloError

TURNS = [{"elapsed_s": 0.05 * number} for number in range(200)]
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]
CALM = {"operations": TURNS, "samples": POLLS, "generator": SECONDS}
NAMES = [term.name for term in TERMS]

STRICT = Slo("slo.toml", 0.02, 0.25, 1.0, 0.01, 0.01, 0, 0.99)


def ending(count, **values):
    """Calm turns, but so many in the end."""
    return [*TURNS[:-count], *({**turn, **values} for turn in TURNS[-count:])]


BROKEN = {
    "response_p50": [{**turn, "response_us": 30_000.0} for turn in TURNS],
    "response_p99": ending(3, response_us=300_000.0),
    "response_p999": [{"elapsed_s": 0.005 * n, "response_us": 2e6} for n in range(1200)],
    "error_share": ending(3, outcome="timeout"),
    "lost_state_share": ending(3, outcome="evicted"),
    "lost_updates": ending(1, outcome="lost_update"),
    "delivered_share": ending(3, outcome="unsent"),
}
KEPT = {
    "response_p50": [{**turn, "response_us": 20_000.0} for turn in TURNS],
    "response_p99": ending(1, response_us=300_000.0),
    "response_p999": [{"elapsed_s": 0.005 * n, "response_us": 1e6} for n in range(1200)],
    "error_share": ending(2, outcome="timeout"),
    "lost_state_share": ending(9, outcome="expired"),
    "lost_updates": TURNS,
    "delivered_share": ending(2, outcome="unsent"),
}
BY = {
    "response_p50": "10 ms over, 1.5 times the bound",
    "response_p99": "50 ms over, 1.2 times the bound",
    "response_p999": "1 s over, 2 times the bound",
    "error_share": "0.5 points over, 1.5 times the bound",
    "lost_state_share": "0.5 points over, 1.5 times the bound",
    "lost_updates": "1 over",
    "delivered_share": "0.5 points under",
}


@pytest.fixture
def read(tmp_path):
    """Read a text as a file of objectives."""

    def read_text(text: str) -> Slo:
        path = tmp_path / "promised.toml"
        path.write_text(text)
        return read_slo(path)

    return read_text


def judged(path, name, slo=STRICT, **tables):
    """What became of one objective on a run of these tables, calm where none is named."""
    found = judge(make_run(path, **{**CALM, **tables}), slo)
    return next(each for each in found.objectives if each.objective == name)


def test_every_objective_has_its_field():
    """A term without one could not be set, and a field without a term would not be judged."""
    known = [each.name for each in fields(Slo)]

    assert known == ["where", *(term.field for term in TERMS)]


def test_objectives_of_ours_set_all_that_there_is():
    """The file that comes with the load shows each, and is read if none is named."""
    ours = read_slo()

    assert ours == read_slo(slo_file())
    assert None not in [getattr(ours, term.field) for term in TERMS]
    assert list(tomllib.loads(slo_file().read_text())) == NAMES


def test_units_are_parsed_and_the_rest_is_left_open(read):
    """What is not named promises nothing."""
    found = read('response_p99 = "250ms"\nerror_share = 0\ndelivered_share = 1')

    assert (found.response_p99_s, found.error_share, found.delivered_share) == (0.25, 0, 1)
    assert (found.response_p50_s, found.lost_updates) == (None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("response_p98 = '1s'", "unknown key 'response_p98'; did you mean 'response_p9"),
        ("lost_update = 0", "unknown key 'lost_update'; did you mean 'lost_updates'"),
        ("[responses_p99]\nmost = 3", r"unknown table \[responses_p99\]; .*'response_p99'"),
        ("[slo]\nerror_share = 0", r"unknown table \[slo\]; known: delivered_share, error_share"),
        ("[error_share]\nmost = 3", "error_share is a table; write error_share = 0.001"),
        ("response_p99 = 250", 'is 250, without a unit; write response_p99 = "250ms"'),
        ("response_p99 = '0.25'", "is '0.25', without a unit"),
        ("response_p99 = true", "is True, without a unit"),
        ("response_p99 = 'soon'", "response_p99: 'soon' is not a duration"),
        ("response_p99 = '0ms'", "response_p99 is 0ms, outside above 0 s to 3600 s"),
        ("response_p99 = '2h'", "response_p99 is 2h, outside"),
        ("error_share = '0.1 %'", "error_share is not a number: '0.1 %'; write error_share = 0.0"),
        ("error_share = true", "error_share is not a number: True"),
        ("error_share = 5", "error_share is 5, outside 0 to 1: it is a share"),
        ("error_share = -0.1", "error_share is -0.1, outside 0 to 1"),
        ("error_share = nan", "error_share is nan, outside 0 to 1"),
        ("delivered_share = 0", "delivered_share is 0, which nothing breaks"),
        ("lost_updates = 0.5", "lost_updates is not a whole number: 0.5"),
        ("lost_updates = false", "lost_updates is not a whole number: False"),
        ("lost_updates = -1", "lost_updates is -1, outside 0 to 1000000000"),
        (f"lost_updates = 0x{'f' * 9000}", "lost_updates is a huge number, outside"),
        ("", "sets no objective; known: response_p50"),
        ("a = [", "is not TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_value_that_makes_no_sense_is_refused(read, text, says):
    """With the file, the key, and what would be right."""
    with pytest.raises(SloError, match=says) as caught:
        read(text)

    assert "promised.toml" in str(caught.value)


def test_file_that_cannot_be_read_is_refused(tmp_path):
    """None, a folder, a picture."""
    picture = tmp_path / "picture.toml"
    picture.write_bytes(b"\x89PNG\xff")

    for path, says in [
        (tmp_path / "missing.toml", "there is no file .*missing.toml"),
        (tmp_path, "cannot be read"),
        (picture, "cannot be read"),
    ]:
        with pytest.raises(SloError, match=says):
            read_slo(path)


VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5mb", "2s", "250ms", "9" * 400 + "s"])
    | st.just(datetime.date(2026, 11, 23)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(content=st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)))
def test_any_value_gives_objectives_or_an_error_of_objectives(content):
    """Whatever a file holds under a known key, no other exception comes out."""
    try:
        found = module._from_toml(content, slo_file())
    except SloError:
        return

    assert isinstance(found, Slo)


@pytest.mark.parametrize("name", NAMES)
def test_objective_is_kept(tmp_path, name):
    """At its bound, or short of it."""
    found = judged(tmp_path, name, operations=KEPT[name])

    assert (found.verdict, found.broken_by, found.why) == ("pass", "", "")
    assert found.broken_by_value == 0


@pytest.mark.parametrize("name", NAMES)
def test_objective_is_broken_and_says_by_how_much(tmp_path, name):
    """The control of the test above: each can fail."""
    found = judged(tmp_path, name, operations=BROKEN[name])

    assert (found.verdict, found.broken_by, found.why) == ("fail", BY[name], "")
    assert found.broken_by_value == pytest.approx(abs(found.measured_value - found.bound_value))
    assert found.broken_by_value > 0


@pytest.mark.parametrize("name", NAMES)
def test_breaking_one_objective_leaves_the_unconcerned_as_they_are(tmp_path, name):
    """Only those that the same turns break as well are broken besides."""
    found = judge(make_run(tmp_path, **{**CALM, "operations": BROKEN[name]}), STRICT)

    broken = {each.objective for each in found.objectives if each.verdict == "fail"}
    together = {"response_p50", "response_p99"} if name == "response_p999" else set()
    assert broken == {name} | together
    assert found.verdict == "fail"


@pytest.mark.parametrize("outcome", ["evicted", "missing"])
def test_state_that_is_gone_early_is_lost_whatever_took_it(tmp_path, outcome):
    """A restart or another writer is no better than eviction."""
    turns = ending(3, outcome=outcome)

    assert judged(tmp_path, "lost_state_share", operations=turns).measured_value == 3 / 200


def test_lost_state_is_a_share_of_the_turns_since_the_first_eviction(tmp_path):
    """As it is for the rule: over the whole phase it would tell the length of the run."""
    polls = [{**poll, "evicted_keys": 9 * (poll["elapsed_s"] >= 4.5)} for poll in POLLS]
    turns = ending(3, outcome="evicted")

    found = judged(tmp_path, "lost_state_share", operations=turns, samples=polls)

    assert found.measured_value == 3 / 110


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lost_updates"])
def test_too_few_turns_are_unknown_even_if_they_break_the_bound(tmp_path, name):
    """One bad turn of three tells nothing."""
    found = judged(tmp_path, name, operations=BROKEN[name][-3:])

    assert found.verdict == "unknown"
    assert found.why.startswith("only 3 turns to tell by") or "the response" in found.meaning


def test_one_lost_update_is_enough(tmp_path):
    """Each is one too many, however few turns there were."""
    found = judged(tmp_path, "lost_updates", operations=BROKEN["lost_updates"][-3:])

    assert (found.verdict, found.measured) == ("fail", "1")


def test_some_lost_updates_may_be_allowed(tmp_path):
    """For whoever compares with the pattern that loses some."""
    allowed = Slo("slo.toml", lost_updates=1)

    assert judged(tmp_path, "lost_updates", allowed, operations=BROKEN["lost_updates"]).verdict == (
        "pass"
    )


@pytest.mark.parametrize("measured_s", [10.0, None], ids=["empty", "not begun"])
def test_no_objective_is_kept_by_a_run_without_rows(tmp_path, measured_s):
    """What nobody saw is unknown, and no cell says nan."""
    found = judge(make_run(tmp_path, measured_s=measured_s), STRICT)

    assert {each.verdict for each in found.objectives} == {"unknown"}
    assert "nan" not in found.to_markdown()


LATE = {"lag_us": 50_000.0, "response_us": 400_000.0}


def test_turns_that_a_late_generator_left_unsent_are_not_the_servers(tmp_path):
    """The run is invalid by that alone; it does not break what is promised of the server."""
    found = judged(tmp_path, "delivered_share", operations=ending(50, outcome="unsent"))

    assert (found.verdict, found.measured) == ("unknown", "75 %")
    assert found.why == "only 75 % of the turns due were completed"


def test_late_generator_leaves_nothing_kept(tmp_path):
    """What was lost was lost; how long people waited for a late load says nothing."""
    turns = [{**turn, **LATE} for turn in ending(3, outcome="evicted")]

    found = judge(make_run(tmp_path, **{**CALM, "operations": turns}), STRICT)

    verdicts = {each.objective: each.verdict for each in found.objectives}
    assert verdicts == {**dict.fromkeys(NAMES, "unknown"), "lost_state_share": "fail"}
    why = {each.why for each in found.objectives if each.verdict == "unknown"}
    assert any(each.startswith("the generator was late") for each in why)


@pytest.mark.parametrize("status", ["invalid", "interrupted", "failed"])
def test_no_objective_is_kept_by_a_run_whose_figures_do_not_hold(tmp_path, status):
    """However well it looks."""
    slo = Slo("slo.toml", response_p99_s=1.0, error_share=0.5, lost_updates=9)

    found = judge(make_run(tmp_path, **CALM, status=status), slo)

    assert found.verdict == "unknown"
    assert {each.verdict for each in found.objectives} == {"unknown"}
    assert all(status in each.why for each in found.objectives)


def test_run_that_was_only_sampled_keeps_no_objective(tmp_path):
    """There were no turns to tell by."""
    run = make_run(tmp_path, samples=POLLS)
    run.manifest.experiment = {"name": "sample"}

    assert {each.why for each in judge(run, STRICT).objectives} == {
        "the server was sampled, and not loaded by the workbench"
    }


@pytest.mark.parametrize("table", ["operations", "samples", "generator"])
def test_damaged_table_keeps_no_objective(tiny_run, table):
    """A part that cannot be read makes it unknown, and the command goes on."""
    next((tiny_run.path / table).glob("part-*")).write_bytes(b"PAR1")

    verdicts = {each.verdict for each in judge(tiny_run, read_slo()).objectives}

    assert verdicts <= {"unknown", "fail"}


def test_objectives_of_ours_are_broken_by_the_golden_run(tiny_run):
    """It is made to overflow: it loses conversations, and nothing else."""
    found = judge(tiny_run, read_slo())

    broken = [each.objective for each in found.objectives if each.verdict == "fail"]
    assert (found.verdict, broken) == ("fail", ["lost_state_share"])


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.9995, "99.95 %"),
        (0.99949, "99.949 %"),
        (0.001, "0.1 %"),
        (1 / 18_000, "0.00556 %"),
        (1e-12, "0 %"),
    ],
)
def test_share_is_told_so_that_a_bound_and_what_breaks_it_differ(share, told):
    """Three digits of what it lacks to none or all."""
    assert module._percentage(share) == told


def test_table_is_shown_in_a_notebook_and_as_markdown(tmp_path):
    """The same cells, and nothing in them is taken for a tag or for the end of a cell."""
    run = make_run(tmp_path, **{**CALM, "operations": BROKEN["error_share"]})

    found = judge(run, Slo("<b>|slo.toml", error_share=0.01))

    cells = ["fail", "error_share", "at most 1 %", "1.5 %", BY["error_share"]]
    assert found.rows() == [tuple(cells)]
    assert found.to_markdown().splitlines()[-1] == f"| {' | '.join(cells)} |"
    assert all(f">{cell}</td>" in found._repr_html_() for cell in cells)
    assert "<b>" not in found._repr_html_() + found.to_markdown()
    assert repr(found) == "<b>|slo.toml: fail\n" + " · ".join(cells)


@pytest.mark.parametrize(
    ("slo", "says"),
    [
        (Slo("slo.toml", response_p99_s=1.0), "every objective of slo.toml was kept"),
        (
            Slo("slo.toml", response_p99_s=1.0, error_share=0.01),
            f"error_share is 1.5 %: {BY['error_share']}",
        ),
        (
            Slo("slo.toml", response_p99_s=1.0, response_p999_s=1.0),
            "response_p999 is not known: only 200 turns to tell by, and it takes 1,000",
        ),
    ],
)
def test_verdict_is_one_sentence(tmp_path, slo, says):
    """What is kept beside the gravest is left out."""
    run = make_run(tmp_path, **{**CALM, "operations": BROKEN["error_share"]})

    assert judge(run, slo).says == says


@pytest.mark.parametrize(
    ("rules", "slo", "told"),
    [
        ("fail", "pass", "fail"),
        ("pass", "fail", "fail"),
        ("unknown", "pass", "pass"),
        ("pass", "unknown", "unknown"),
        ("unknown", "unknown", "unknown"),
        ("not applicable", "pass", "pass"),
        ("unknown", None, "unknown"),
    ],
)
def test_objectives_say_what_has_to_be_known(rules, slo, told):
    """A rule that cannot tell weighs nothing beside them; one that fails still fails."""
    found = Finding(rule="x", title="?", severity="critical", verdict=rules, says="so")
    kept = None if slo is None else SloFindings("slo.toml", slo, ())

    assert overall(Findings([found]), kept) == told
