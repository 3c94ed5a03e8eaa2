"""The bench of diagnosis: faults that are made end to end, a healthy control, and a stale page."""

import json
import re
import threading
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.commands import workbench
from workbench.benches.cases import CASES, OURS, TOOLS
from workbench.benches.diagnosis import (
    Outcome,
    judged,
    look_at,
    outcome_of,
    page,
    recall,
    row_head,
)
from workbench.benches.overhead import measure as overhead
from workbench.benches.scene import Scene, UnavailableError
from workbench.cli.bench import bench
from workbench.diagnostics.finding import RULES
from workbench.errors import UsageError
from workbench.server.binary import find_binary
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.snapshot import take_snapshot

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "diagnosis.md"


@pytest.fixture(scope="module")
def binary():
    return find_binary()


def test_fault_is_found_by_its_rule_and_not_without_it(binary, tmp_path):
    """The control: with its rule taken away, recall falls, whatever other rules say."""
    case = CASES["persistence-off"]
    with Scene(tmp_path, binary) as scene:
        look = look_at(case, scene)

    whole = judged(case, binary.engine, look)
    without = judged(case, binary.engine, look, rules=set(RULES) - {"persistence-off"})

    assert whole.said[OURS] == ["persistence-off"]
    assert recall([whole]) == 1
    assert recall([without]) == 0
    assert recall([whole, without]) == 0.5


def test_nothing_is_wrong_with_the_development_profile(binary):
    """It is under load, and no rule of ours fails."""
    outcome = outcome_of(CASES["development-loaded"], binary)

    assert outcome.why == ""
    assert outcome.beside == []
    assert outcome.found == {}
    assert set(outcome.said) == set(TOOLS) - {"LATENCY DOCTOR, monitor on"}


@pytest.mark.parametrize("refusal", ["MISCONF", "LOADING"])
def test_server_that_refuses_ping_can_be_looked_at(binary, tmp_path, refusal):
    """As it is of all servers that one which refuses everything else most needs a look."""
    case = CASES["misconf-sticky" if refusal == "MISCONF" else "loading"]
    with Scene(tmp_path, binary) as scene:
        making = case.make(scene)
        next(making)
        client = scene.client()
        with pytest.raises(RedisError, match=r"MISCONF|loading"):
            client.ping()

        seen = take_snapshot(onlooker(scene.url, timeout_s=5), keys=10)

        making.close()
    assert seen.info["run_id"]
    assert ("scan" in seen.refused) == (refusal == "LOADING")


def test_case_that_cannot_be_made_is_told_and_not_counted(binary, monkeypatch):
    """Its reason stands where what was found would, and recall is that of the others."""

    def lacking(_):
        raise UnavailableError("there is no compiler")

    monkeypatch.setattr("workbench.benches.scene._compiler", lambda: lacking(None))
    outcome = outcome_of(CASES["disk-full"], binary)
    other = Outcome("idle", "redis", False, found={OURS: True})

    assert outcome.why == "there is no compiler"
    assert recall([outcome, other]) == 1


def test_ended_bench_leaves_a_case_at_once(binary):
    """As by Ctrl-C: what it waits for does not come any more."""
    over = threading.Event()
    over.set()

    outcome = outcome_of(CASES["idle"], binary, over=over)

    assert "ended" in outcome.why


def test_every_case_names_rules_that_there_are():
    """Of at least 15 faults and 8 healthy servers; a healthy one is told by nothing."""
    cases = CASES.values()
    assert sum(not case.healthy for case in cases) >= 15
    assert sum(case.healthy for case in cases) >= 8
    for case in cases:
        named = case.told_by.get(OURS, frozenset()) | case.also
        assert named <= set(RULES), case.name
        assert bool(case.told_by) == (not case.healthy)
        assert case.healthy or case.told_by[OURS]


def test_page_names_every_case_as_it_is_made_now_and_every_tool():
    """A page whose table was changed since is stale: `workbench bench diagnosis --markdown`."""
    text = PAGE.read_text()
    rows = set(re.findall(r"^\| ([a-z][a-z-]+) \|", text, re.MULTILINE))

    assert sorted(rows - {"figure", "fault", "server"}) == sorted(
        case.name for case in CASES.values()
    )
    assert [case.name for case in CASES.values() if row_head(case) not in text] == []
    assert [tool for tool in TOOLS if tool not in text] == []


def test_page_says_what_was_not_made_and_what_differs_between_engines():
    """Cells are of both engines at once where they agree."""
    said = {tool: [] for tool in TOOLS}
    told = {
        "case": "disk-full",
        "healthy": False,
        "why": "",
        "said": said,
        "found": dict.fromkeys(TOOLS, False) | {OURS: True},
        "beside": [],
    }
    lacking = {**told, "why": "there is no compiler"}
    report = {
        "machine": {"server": "Redis", "system": "Linux", "cpus": 2},
        "figures": [],
        "cases": [{**told, "engine": "redis"}, {**lacking, "engine": "valkey"}],
    }

    row = next(line for line in page(report).splitlines() if line.startswith("| disk-full"))

    assert row.startswith(row_head(CASES["disk-full"]))
    assert "redis: **found**; valkey: not made: there is no compiler" in row


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("state", {"markdown": "x.md"}, "--markdown is for: diagnosis"),
        ("diagnosis", {"markdown": "x.md", "quick": True}, "leave out --quick"),
        ("diagnosis", {"markdown": "nowhere/x.md"}, "a folder that is there"),
    ],
)
def test_page_that_cannot_be_made_is_refused_before_anything_is_measured(name, options, says):
    """Minutes are not spent on it."""
    options["markdown"] = Path(options["markdown"])

    with pytest.raises(UsageError, match=says):
        bench(name, **options)


@pytest.mark.slow
@pytest.mark.alone
def test_overhead_is_counted_by_the_server(start_server):
    """A look at 1 Hz costs a hundredth of a core at most; each command of it is told."""
    figures = {figure.id: figure for figure in overhead(start_server(), quick=True).figures}

    assert figures["sampler_us_per_s"].must == "<=10000"
    assert figures["sampler_us_per_s"].holds
    assert figures["snapshot_us"].value > figures["snapshot_us_client_list"].value > 0
    assert figures["snapshot_keys_us"].value > figures["snapshot_us"].value


@pytest.mark.slow
@pytest.mark.alone
def test_whole_diagnosis_holds_on_every_engine(tmp_path):
    """Recall, and no false alarm on the development profile."""
    done = workbench(tmp_path, "bench", "diagnosis", "--json")
    printed, _ = done.communicate(timeout=1200)
    report = json.loads(printed)
    figures = {figure["id"]: figure for figure in report["figures"]}

    assert {each["case"] for each in report["cases"]} == {case.name for case in CASES.values()}
    for engine in {each["engine"] for each in report["cases"]}:
        assert figures[f"recall_{engine}"]["must"] == ">=0.9"
        assert figures[f"recall_{engine}"]["holds"] is not False
        assert figures[f"false_alarms_development_{engine}"]["holds"] is True
    assert done.returncode == 0
