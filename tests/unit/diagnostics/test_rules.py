"""Each rule on a healthy run, a failing one, and one that cannot be told."""

import json
import shutil

import pytest

from tests.conftest import GOLDEN
from tests.frames import CALM_CONFIG, CALM_INFO, make_run, snapshot
from tests.unit.diagnostics.looks import LOOK_CASES
from workbench.diagnostics.finding import RULES, Finding, evaluate, worst_of, write_findings
from workbench.errors import UsageError
from workbench.runs.schema import TABLES

MIB = 1024**2
TURNS = [{"elapsed_s": 0.05 * number} for number in range(200)]
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
OFTEN = [{"elapsed_s": at / 5} for at in range(51)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]
HOST = {
    "ram_bytes": 200 * MIB,
    "memory_limit_bytes": 100 * MIB,
    "memory_limit_source": "cgroup v2",
    "available_bytes": 90 * MIB,
    "overcommit_memory": 0,
    "filesystem": "ext4",
    "disk_free_bytes": 50 * MIB,
}


def rising(column, to, *, since_s=5.0, **values):
    """Polls whose counter rises to a number in the run."""
    return [{**poll, **values, column: to if poll["elapsed_s"] >= since_s else 0} for poll in POLLS]


def every(**values):
    """Polls with the same values in each."""
    return [{**poll, **values} for poll in POLLS]


def restarted(**values):
    """Polls of a server that was restarted after 5 s; the values are those since then."""
    return [*POLLS[:10], *({**poll, "run_id": "second", **values} for poll in POLLS[10:])]


def gone(outcome, count=3, **values):
    """All turns well, but so many in the end."""
    return [*TURNS[:-count], *({**turn, "outcome": outcome, **values} for turn in TURNS[-count:])]


def found(count, state):
    """So many conversations, looked for at the end."""
    update = "kept" if state == "present" else ""
    return [{"elapsed_s": 11.0, "state": state, "update": update} for _ in range(count)]


def logged(elapsed_s, duration_s, label="ok"):
    """A rewrite that the server's log tells of."""
    return {
        "elapsed_s": elapsed_s,
        "duration_s": duration_s,
        "kind": "aof_rewrite",
        "label": label,
    }


CALM = {
    "operations": TURNS,
    "samples": POLLS,
    "generator": SECONDS,
    "snapshots": [snapshot(0.0), snapshot(10.0)],
}
EVICTING = {"samples": rising("evicted_keys", 9, since_s=0.5)}
REWRITTEN = rising("aof_base_size", 900, aof_last_cow_size=MIB, used_memory=5 * MIB)
REWRITING = {"samples": REWRITTEN}
RESTARTED = {"samples": restarted()}
REFUSED_FORK = "Can't rewrite append only file in background: fork: Cannot allocate memory"
LATE = {"operations": [{**turn, "lag_us": 50_000.0, "response_us": 51_000.0} for turn in TURNS]}

SPLIT = {"experiment": {"tasks": 3}}
COMPRESSED = {"experiment": {"compression": 20.0}}


def kept(evicted_s=(), *, ttl_s=300.0, **windows):
    """A run with a ledger: each of these turns' conversations was evicted 2 s after its write."""
    count = len(list(evicted_s))
    return {
        "experiment": {"ledger": True},
        "operations": [
            {"elapsed_s": at, "conversation": number, "ttl_s": ttl_s}
            for number, at in enumerate(evicted_s)
        ],
        "evictions": [
            {"elapsed_s": at + 2, "conversation": number} for number, at in enumerate(evicted_s)
        ],
        "eviction_windows": [
            {"elapsed_s": 10.0, "evicted_seen": count, "evicted_keys": count, **windows}
        ],
    }


UNKNOWN_KEYS = kept() | {"evictions": [{"elapsed_s": 1.0, "conversation": None}]}

CASES = {
    "evicted-early": {
        "pass": [kept(), kept([1.0, 2.0], ttl_s=1.0)],
        "fail": [kept([1.0, 2.0])],
        "unknown": [UNKNOWN_KEYS, {"experiment": {"ledger": True}}],
        "not applicable": [{}, {"experiment": {"ledger": False}}],
    },
    "state-elsewhere": {
        "pass": [SPLIT],
        "fail": [{**SPLIT, "operations": gone("elsewhere", 1)}],
        "unknown": [{**SPLIT, "operations": []}],
        "not applicable": [{}],
    },
    "lru-clock": {
        "pass": [{**COMPRESSED, "operations": gone("evicted", age_s=12.0)}],
        "fail": [{**COMPRESSED, "operations": gone("evicted", age_s=2.0)}],
        "unknown": [{**COMPRESSED, "operations": []}],
        "not applicable": [{"operations": gone("evicted", age_s=2.0)}, COMPRESSED],
    },
    "lost-updates": {
        "pass": [{}],
        "fail": [
            {"operations": [*TURNS, {**TURNS[-1], "outcome": "lost_update"}]},
            {"keys": [{"elapsed_s": 11.0}, {"elapsed_s": 11.0, "update": "lost"}]},
        ],
        "unknown": [{"operations": []}, {"operations": [{**TURNS[0], "age_s": None}]}],
    },
    "live-state-evicted": {
        "pass": [EVICTING],
        "fail": [
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 9, since_s=0.5)},
        ],
        "unknown": [
            {"operations": TURNS[:99]},
            {"operations": [{**turn, "operation": "write"} for turn in TURNS]},
            {"samples": []},
            {"samples": rising("evicted_keys", 9, since_s=9.5)},  # too few turns at the cap
            {},  # the cap was not reached
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 2, since_s=0.5)},
        ],
    },
    "loss-explained": {
        "pass": [
            {},
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 3)},
            {"keys": found(2, "evicted"), "samples": rising("evicted_keys", 2)},
        ],
        "fail": [
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 2)},
            {"operations": gone("missing"), "samples": rising("evicted_keys", 9)},
            {"operations": gone("deleted"), "samples": rising("evicted_keys", 9)},
            {"keys": found(2, "evicted"), "samples": rising("evicted_keys", 1)},
            {"keys": found(1, "missing")},
        ],
        "unknown": [RESTARTED, {"samples": POLLS[:1]}, {"operations": []}],
    },
    "memory-headroom": {
        "pass": [{**REWRITING, "host": HOST}],
        "fail": [{**REWRITING, "host": {**HOST, "memory_limit_bytes": 6 * MIB}}],
        "unknown": [
            {"host": HOST},  # no rewrite
            {"host": HOST, "samples": rising("aof_base_size", 900)},  # the cap was not filled
            REWRITING,  # no limit
            {**REWRITING, "host": HOST, "ours": False},  # the limit of another container
            {"host": HOST, "samples": every(maxmemory=0)},
        ],
    },
    "turns-failed": {
        "pass": [{}, {"operations": gone("evicted")}, {"operations": gone("duplicate")}],
        "fail": [
            {"operations": gone(outcome, 1)}
            for outcome in ("refused", "timeout", "conflict", "error")
        ],
        "unknown": [{"operations": []}],
    },
    "aof-rewrite": {
        "pass": [REWRITING],
        "fail": [
            {"samples": rising("aof_base_size", 900, latest_fork_usec=100_001)},
            {"samples": every(aof_last_bgrewrite_status="err")},
            {"samples": rising("aof_rewrites_consecutive_failures", 1)},
            {**REWRITING, "events": [logged(1.0, 2.5)]},
            {**REWRITING, "events": [logged(1.0, 0.1), logged(3.0, 0.1, "err")]},
            {"samples": rising("aof_base_size", 900, aof_last_rewrite_time_sec=4)},
        ],
        "unknown": [
            {},
            {"samples": []},
            {"samples": rising("aof_rewrites", 1)},  # one began
            {**REWRITING, "events": [logged(-2.0, 0.5)]},  # that of the prefill
            {"samples": rising("aof_base_size", 900, latest_fork_usec=None)},
            # By a clock of whole seconds: between 10 and 30 % of the time.
            {"samples": rising("aof_base_size", 900, aof_last_rewrite_time_sec=2)},
        ],
        "not applicable": [{"samples": every(aof_enabled=0)}],
    },
    "overcommit": {
        "pass": [
            {"host": HOST},
            {"host": {**HOST, "available_bytes": MIB}},  # of which the kernel does not ask
            {"host": {**HOST, "ram_bytes": 5 * MIB, "swap_total_bytes": MIB}},
            {"host": {"overcommit_memory": 1}},
        ],
        "fail": [
            {"host": {**HOST, "ram_bytes": 5 * MIB}},
            {"host": {**HOST, "overcommit_memory": 2}},
            {"host": HOST, "events": [{**logged(1.0, 0.0, "err"), "detail": REFUSED_FORK}]},
        ],
        "unknown": [
            {},
            {"host": {"overcommit_memory": 0}},
            {"host": HOST, "ours": False},
            {"host": HOST, "samples": every(maxmemory=0)},
            {"host": HOST, "samples": every(maxmemory=None, used_memory_rss=None)},
        ],
        "not applicable": [{"host": HOST, "samples": every(aof_enabled=0), "config": {"save": ""}}],
    },
    "aof-write": {
        "pass": [{}],
        "fail": [
            {"samples": rising("errorstat_MISCONF", 7)},
            {"samples": [{**POLLS[0], "aof_last_write_status": "err"}, *POLLS[1:]]},
            {"samples": rising("errorstat_MISCONF", 7, aof_enabled=0)},  # a failed snapshot
        ],
        "unknown": [
            {"samples": every(aof_last_write_status=None)},
            {"samples": every(errorstat_MISCONF=None)},
            {"samples": []},
        ],
        "not applicable": [{"samples": every(aof_enabled=0)}],
    },
    "fsync-late": {
        "pass": [
            {},
            {"samples": [{**POLLS[0], "aof_pending_bio_fsync": 1}, *POLLS[1:]]},
            # Twice a second: each look may meet another fsync.
            {"samples": rising("aof_pending_bio_fsync", 1)},
            {"config": {"appendfsync": "everysec"}},
        ],
        "fail": [
            {"samples": rising("aof_delayed_fsync", 1)},
            {"samples": [{**poll, "aof_pending_bio_fsync": 1} for poll in OFTEN]},
        ],
        "unknown": [{"samples": every(aof_delayed_fsync=None)}, {"samples": []}],
        "not applicable": [
            {"samples": every(aof_enabled=0)},
            {"config": {"appendfsync": "always"}},
        ],
    },
    "client-buffers": {
        "pass": [
            {},
            EVICTING,  # not for the clients' sake
            {"samples": every(mem_clients_normal=MIB)},  # nothing was evicted
            # Twenty ordinary connections at a small cap.
            {"samples": rising("evicted_keys", 9, mem_clients_normal=MIB, connected_clients=20)},
            {
                "samples": [
                    {**poll, "mem_clients_normal": 0 if poll["elapsed_s"] < 8 else MIB}
                    for poll in rising("evicted_keys", 9)
                ]
            },  # it was evicted before
        ],
        "fail": [
            {"samples": rising("evicted_keys", 9, mem_clients_normal=MIB)},
            {
                "samples": [
                    {**poll, "mem_clients_normal": MIB if 5 < poll["elapsed_s"] <= 6 else 0}
                    for poll in rising("evicted_keys", 9)
                ]
            },  # the server counts the buffers late
        ],
        "unknown": [
            {"samples": every(mem_clients_normal=None)},
            {"samples": every(maxmemory=None)},
            {
                "samples": rising(
                    "evicted_keys", 9, mem_clients_normal=MIB, used_memory_overhead=9 * MIB
                )
            },
            {"samples": []},
        ],
        "not applicable": [{"samples": every(maxmemory=0)}],
    },
    "restart-over-cap": {
        "pass": [RESTARTED, {"samples": [{**POLLS[0], "loading": 1}, *POLLS[1:]]}],
        "fail": [
            {"samples": restarted(used_memory_peak=6 * MIB)},
            {"samples": restarted(used_memory_peak=6 * MIB, loading=1)},
            {"samples": every(loading=1, used_memory_peak=6 * MIB)},
        ],
        "unknown": [
            {"samples": restarted(used_memory_peak=None)},
            {"samples": restarted(maxmemory=None)},
            {"samples": restarted(loading=1)},
            {"samples": []},
        ],
        "not applicable": [
            {},
            {"samples": every(used_memory_peak=6 * MIB)},  # before the run, for all that is known
            {"samples": restarted(maxmemory=0)},
        ],
    },
    "keys-without-ttl": {
        "pass": [{}, {"samples": every(expires=950)}],
        "fail": [{"samples": every(expires=949)}],
        "unknown": [
            {"samples": every(keys=99, expires=0)},
            {"samples": every(expires=None)},
            {"samples": []},
        ],
    },
    "aof-disk": {
        "pass": [{"host": HOST}, {"host": {"filesystem": "overlay"}}],
        "fail": [{"host": {"filesystem": "nfs4"}}, {"host": {"filesystem": "tmpfs"}}],
        "unknown": [{}, {"host": {"filesystem": "fuse.new"}}, {"host": HOST, "ours": False}],
        "not applicable": [{"host": HOST, "samples": every(aof_enabled=0)}],
    },
    "disk-room": {
        "pass": [{"host": HOST}],
        "fail": [{"host": {"disk_free_bytes": 3 * MIB}}],  # of 3.6
        "unknown": [
            {},
            {"host": HOST, "ours": False},
            {"host": HOST, "samples": every(aof_current_size=None)},
        ],
        "not applicable": [{"host": HOST, "samples": every(aof_enabled=0)}],
    },
    "generator-validity": {
        "pass": [{}],
        "fail": [LATE, {"operations": gone("unsent", 10)}, {"samples": []}],
        "unknown": [{"operations": TURNS[:99]}, {"generator": []}, {"operations": []}],
    },
}

CASES |= LOOK_CASES

EACH = [
    pytest.param(rule, verdict, change, id=f"{rule}-{verdict}-{number}")
    for rule, verdicts in CASES.items()
    for verdict, changes in verdicts.items()
    for number, change in enumerate(changes)
]


def found_by(rule, run) -> Finding:
    (found,) = evaluate(run, rule)
    return found


@pytest.mark.parametrize(("rule", "verdict", "change"), EACH)
def test_rule_gives_the_verdict_that_the_run_calls_for(tmp_path, rule, verdict, change):
    """A calm run with one thing changed."""
    run = make_run(tmp_path, **{**CALM, **change})

    found = found_by(rule, run)

    assert found.verdict == verdict, found.says


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_has_a_healthy_a_failing_and_an_unknown_case(rule):
    """A new rule is shown to be able to say each of them."""
    assert {"pass", "fail", "unknown"} <= set(CASES[rule])


def test_every_rule_judges_the_golden_run(tiny_run):
    """With a sentence, a source, and advice if anything is to be done."""
    findings = evaluate(tiny_run)

    assert {found.rule for found in findings} == set(RULES)
    for found in findings:
        assert found.verdict in {"pass", "fail", "unknown", "not applicable"}
        assert found.says
        assert found.source
        assert found.title.endswith("?")
        assert found.advice or found.verdict != "fail"


@pytest.mark.parametrize("measured_s", [10.0, None], ids=["empty", "not begun"])
def test_no_rule_passes_a_run_without_rows(tmp_path, measured_s):
    """What nobody saw is unknown, never green."""
    for found in evaluate(make_run(tmp_path, measured_s=measured_s)):
        assert found.verdict in {"unknown", "not applicable"}, found.rule
        assert "nan" not in found.says


@pytest.mark.parametrize("table", [name for name in TABLES if (GOLDEN / name).exists()])
def test_no_rule_passes_on_a_damaged_table_that_it_reads(tiny_run, table):
    """A part that cannot be read makes the finding unknown, and the command goes on."""
    part = next((tiny_run.path / table).glob("part-*"))
    part.write_bytes(b"PAR1")

    passed = {found.rule for found in evaluate(tiny_run) if found.verdict == "pass"}

    assert not {rule for rule in passed if table in RULES[rule].needs}


def test_no_rule_breaks_on_a_server_that_tells_little(tmp_path):
    """A managed server leaves fields of INFO out; no finding may rest on them, none may crash."""
    kept = {"unix_s", "sample_lag_s", "sample_us"}
    silent = {column.name: None for column in TABLES["samples"].columns if column.name not in kept}
    polls = [{**poll, **silent} for poll in POLLS]
    mute = [snapshot(at, without=[*CALM_INFO, *CALM_CONFIG], host=None) for at in (0.0, 10.0)]

    for found in evaluate(make_run(tmp_path, **{**CALM, "samples": polls, "snapshots": mute})):
        # Of big values turns tell.
        if RULES[found.rule].needs == ("snapshots",) and found.rule != "big-values":
            assert found.verdict in {"unknown", "not applicable"}, found.rule
        assert "nan" not in found.says.split(), found.rule


def test_late_generator_turns_a_pass_that_rests_on_the_load_into_unknown(tmp_path):
    """Nobody lost anything, under a load that did not come when it should have."""
    found = found_by("live-state-evicted", make_run(tmp_path, **{**CALM, **EVICTING, **LATE}))

    assert found.verdict == "unknown"
    assert found.says.endswith("but that does not hold: the generator was late")
    assert found.advice == "see generator-validity"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_no_rule_passes_a_run_that_broke_off(tmp_path, status):
    """What had not gone wrong by then might have gone wrong later."""
    run = make_run(tmp_path, **{**CALM, **REWRITING, "host": HOST, "status": status})

    for found in evaluate(run):
        assert found.verdict in {"unknown", "not applicable"}, found.rule


def test_late_generator_leaves_a_failure_as_it_is(tmp_path):
    """What was lost was lost, whenever it was asked for."""
    lost = [
        {**turn, **LATE["operations"][0], "elapsed_s": turn["elapsed_s"]}
        for turn in gone("evicted")
    ]
    run = make_run(
        tmp_path,
        **{
            **CALM,
            "operations": [{**t, "outcome": "evicted"} for t in lost],
            "samples": rising("evicted_keys", 500, since_s=0.5),
        },
    )

    assert found_by("generator-validity", run).verdict == "fail"
    assert found_by("live-state-evicted", run).verdict == "fail"


@pytest.mark.parametrize("rule", ["memory-headroom", "aof-rewrite"])
def test_late_generator_makes_what_the_server_needs_unknown(tmp_path, rule):
    """It offered less than was asked: fewer writes, less copied, fewer rewrites."""
    calm = make_run(tmp_path / "calm", **{**CALM, **REWRITING, "host": HOST})
    late = make_run(tmp_path / "late", **{**CALM, **LATE, **REWRITING, "host": HOST})

    assert found_by(rule, calm).verdict == "pass"
    assert found_by(rule, late).verdict == "unknown"


def test_late_generator_leaves_a_pass_that_does_not_rest_on_the_load(tmp_path):
    """That the sums of losses and evictions agree holds at any load."""
    run = make_run(tmp_path, **{**CALM, **EVICTING, **LATE})

    assert found_by("loss-explained", run).verdict == "pass"


EXPLAINED = {
    "they agree": (found(1000, "evicted"), 1001),
    "5 more (": (found(995, "evicted"), 1000),
    "which may be keys that are not the run's": (found(995, "evicted"), 1000),
    "7 of them were found only after their time to live": (
        [*found(993, "evicted"), *found(7, "expired")],
        1000,
    ),
    "20 fewer (": ([*found(1000, "evicted"), *found(20, "expired")], 1000),
    "3 that were not looked for in time": ([*found(990, "evicted"), *found(3, "unread")], 1000),
    "were not looked for at the end": ([], 1000),
}


@pytest.mark.parametrize("says", EXPLAINED)
def test_losses_are_held_against_evictions_to_a_thousandth(tmp_path, says):
    """Or the finding says by how much they do not agree, and what that may be."""
    keys, evicted_keys = EXPLAINED[says]
    run = make_run(
        tmp_path, **{**CALM, "keys": keys, "samples": rising("evicted_keys", evicted_keys)}
    )

    finding = found_by("loss-explained", run)

    assert finding.verdict == "pass"
    assert says in finding.says


def test_each_loss_is_counted_once(tmp_path):
    """Three that turns found, two more at the end: five keys were evicted."""
    run = make_run(
        tmp_path,
        **{
            **CALM,
            "operations": gone("evicted"),
            "keys": found(2, "evicted"),
            "samples": rising("evicted_keys", 5),
        },
    )

    says = found_by("loss-explained", run).says

    assert says.startswith("5 conversations were gone before their time; ")
    assert says.endswith("they agree")


def finding(verdict, severity="critical"):
    return Finding(rule="x", title="?", severity=severity, verdict=verdict, says="so")


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["pass", "unknown", "fail", "not applicable"], "fail"),
        (["pass", "unknown", "not applicable"], "unknown"),
        (["not applicable", "pass"], "pass"),
        (["not applicable"], "not applicable"),
        ([], "not applicable"),
    ],
)
def test_worst_verdict_is_fail_then_unknown_then_pass(verdicts, worst):
    """One failure is a failure; what is not known outweighs what is well."""
    assert worst_of(map(finding, verdicts)) == worst


def test_findings_of_severity_info_do_not_fail_a_run():
    """They are told, and judged by nobody."""
    assert worst_of([finding("fail", "info"), finding("pass", "warning")]) == "pass"


def test_gravest_finding_comes_first(tiny_run):
    """Failures before the rest, critical ones before warnings."""
    found = evaluate(tiny_run)

    gravity = ["fail", "unknown", "note", "pass", "not applicable"]
    severity = ["critical", "warning", "info"]
    order = [(gravity.index(f.word), severity.index(f.severity)) for f in found]
    assert order == sorted(order)
    assert found.verdict == found[0].verdict


def test_note_is_not_what_a_verdict_rests_on(tmp_path):
    """The head of a run in which all is well is a pass, whatever else is noted."""
    noted = [snapshot(at, info={"redis_version": "7.0.15"}) for at in (0.0, 10.0)]
    found = evaluate(make_run(tmp_path, **{**CALM, "snapshots": noted}), "loading", "outdated")

    assert [each.word for each in found] == ["note", "pass"]
    assert (found.verdict, found.head.rule) == ("pass", "loading")


def test_only_of_an_unknown_rule_names_the_nearest(tiny_run):
    """A notebook's slip must not leave a finding out in silence."""
    with pytest.raises(UsageError, match="no rule 'los-explained'; did you mean 'loss-explained'"):
        evaluate(tiny_run, "los-explained")


def test_same_run_gives_the_same_findings_byte_for_byte(tiny_run, tmp_path):
    """Judging is a function of the record."""
    other = make_run(tmp_path / "other")
    shutil.rmtree(other.path)
    again = type(tiny_run)(shutil.copytree(tiny_run.path, other.path))

    first = write_findings(tiny_run, evaluate(tiny_run)).read_bytes()

    assert first == write_findings(again, evaluate(again)).read_bytes()


def test_golden_run_is_judged_as_on_the_machine_that_recorded_it(tiny_run):
    """The same findings, to the last digit, wherever and whenever the run is opened."""
    committed = json.loads((GOLDEN / "findings.json").read_bytes())

    again = json.loads(write_findings(tiny_run, evaluate(tiny_run)).read_bytes())

    assert again == committed


def test_rewrite_and_fork_of_the_prefill_are_not_the_loads(tmp_path):
    """INFO tells its fork of 200 ms and its copy of 3 MiB until the first rewrite of the load."""
    polls = [
        {
            **poll,
            "latest_fork_usec": 200_000 if poll["elapsed_s"] < 5 else 500,
            "aof_last_cow_size": 3 * MIB if poll["elapsed_s"] < 5 else MIB,
        }
        for poll in REWRITTEN
    ]
    run = make_run(
        tmp_path,
        **{**CALM, "samples": polls, "events": [logged(-1.5, 0.5), logged(4.8, 0.1)]},
    )

    found = found_by("aof-rewrite", run)

    assert found.verdict == "pass"
    assert found.evidence["rewrites"] == "1"
    assert found.evidence["most copied on write"] == "1 MiB"


def test_whole_seconds_of_info_are_told_as_what_they_are(tmp_path):
    """A rewrite of "0 s" without a log took under a second, of 10."""
    found = found_by("aof-rewrite", make_run(tmp_path, **{**CALM, **REWRITING}))

    assert found.evidence["longest"] == "1 s"
    assert found.evidence["share of the time"] == "at most 10 %"


def test_failures_in_a_row_are_told(tmp_path):
    """After three of them the server waits before it tries again."""
    polls = rising("aof_rewrites_consecutive_failures", 3, aof_last_bgrewrite_status="err")

    found = found_by("aof-rewrite", make_run(tmp_path, **{**CALM, "samples": polls}))

    assert found.says == "3 AOF rewrites failed"
    assert found.evidence["in a row, at most"] == "3"


def test_rewrite_that_failed_before_the_load_and_was_made_good_is_no_failure(tmp_path):
    """Of a server that lived before: its latest rewrite is the run's own."""
    polls = [
        {**poll, "aof_last_bgrewrite_status": "err" if poll["elapsed_s"] < 5 else "ok"}
        for poll in REWRITTEN
    ]

    found = found_by("aof-rewrite", make_run(tmp_path, **{**CALM, "samples": polls}))

    assert found.verdict == "pass"


def test_finding_shows_its_verdict_evidence_and_source():
    """By itself in a notebook as among the others; in a line where there is no notebook."""
    finding = Finding(
        rule="a-rule",
        title="Does it hold?",
        severity="warning",
        verdict="fail",
        says="of <b>5</b> turns 3 failed",
        evidence={"turns": "5"},
        source="the run",
    )

    text = finding._repr_markdown_()

    assert repr(finding) == "<Finding a-rule, fail: Of <b>5</b> turns 3 failed.>"
    for part in ("**FAIL**", "Does it hold?", "turns: **5**", "*Source:* The run."):
        assert part in text
    assert "<b>" not in text


def test_findings_are_a_line_each_where_there_is_no_notebook(tiny_run):
    """Verdict and sentence; IPython shows a tuple by its repr, whatever else it offers."""
    findings = evaluate(tiny_run)

    lines = repr(findings).splitlines()

    assert lines == [f"{found.word}: {found.says}" for found in findings]
    assert findings._repr_mimebundle_()["text/plain"] == repr(findings)
