"""The commands as a person or a program meets them: what they print, and their exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from redis import Redis

from tests.commands import PROGRAM, ROOT, only_run, processes_below, workbench
from tests.frames import make_run
from tests.waiting import wait_until
from workbench.cli.app import exit_code
from workbench.diagnostics.finding import Finding, Findings
from workbench.runs.manifest import read_manifest, write_manifest
from workbench.runs.run import Run
from workbench.telemetry.snapshot import COMMANDS as LOOKS

pytestmark = pytest.mark.whole_command


COMMANDS = [
    "run",
    "config experiment",
    "config show",
    "config check",
    "serve",
    "sample",
    "seal",
    "check",
    "report",
    "list",
    "evictions",
    "aof",
    "compare-engines",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(ask, command):
    """The example is what people copy."""
    code, out, _ = ask(*command.split(), "--help")

    assert code == 0
    assert f"workbench {command}" in out.partition("Examples:")[2]


def test_version_is_printed(ask):
    """For a bug report."""
    code, out, _ = ask("--version")

    assert code == 0
    assert out.startswith("workbench 0.")


def test_help_imports_no_heavy_library():
    """It must answer at once: pandas alone takes longer."""
    code = (
        "import sys; import workbench.cli\n"
        "print([n for n in ('pandas', 'redis', 'matplotlib', 'papermill', 'pyarrow') "
        "if n in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["rnu"], 2, "Did you mean 'run'"),
        (["run", "--duratoin", "3s"], 2, "--duration"),
        (["run", "dmeo"], 2, "did you mean 'demo'"),
        (["run", "missing.toml"], 2, "there is no file missing.toml"),
        (["run", "--rate", "fast"], 2, "'--rate': Input should be a valid number"),
        (["run", "--rate", "0"], 2, "--rate is 0, outside 1 to 100000"),
        (["run", "--duration", "0s"], 2, "--duration is 0, outside"),
        (["run", "--users", "0"], 2, "--users is 0, outside 1 to 10000"),
        (["run", "--seed", "-1"], 2, "--seed is -1, below 0"),
        (["run", "--maxmemory", "64mbb"], 2, "64mbb"),
        (["run", "--profile", "prodution"], 2, "did you mean 'production'"),
        (["run", "--engine", "vlakey"], 2, "did you mean 'valkey'"),
        (["run", "--task-memory", "2gb"], 2, "the profile demo has no task"),
        (["run", "--profile", "production", "--task-memory", "2048"], 2, "such as 2gb"),
        (["run", "--i-own", "redis-state:6379"], 2, "none is given"),
        (["run", "--url", "redis://127.0.0.1:1", "--maxmemory", "4mb"], 2, "leave one of them out"),
        (["run", "--url", "redis://127.0.0.1:1"], 4, "cannot be looked at"),
        (["run", "--url", "nonsense"], 2, "is not the URL of a server"),
        (["run", "--url", "redis://192.0.2.1:6379"], 2, "--i-own 192.0.2.1:6379"),
        (["config", "experiment", "demo", "--profile", "demmo"], 2, "did you mean 'demo'"),
        (["config", "show", "--profile", "prodution"], 2, "did you mean 'production'"),
        (["config", "check"], 2, "name a file, or a server by --url"),
        (["config", "check", "x", "--url", "redis://h"], 2, "leave one of them out"),
        (["serve", "--profile", "prodution"], 2, "did you mean 'production'"),
        (["serve", "--engine", "keydb"], 2, "known: redis, valkey"),
        (["sample", "--url", "nonsense"], 2, "is not the URL of a server"),
        (["sample", "--url", "redis://127.0.0.1:1"], 4, "cannot be looked at"),
        (["sample", "--url", "redis://127.0.0.1:1", "--for", "0s"], 2, "--for is 0s"),
        (["sample", "--url", "redis://127.0.0.1:1", "--interval", "1ms"], 2, "--interval is 1ms"),
        (["sample"], 2, "--url"),
        (["seal", "missing"], 2, "there is no run 'missing'"),
        (["check"], 2, "make one with: workbench run"),
        (["report", "--notebook", "10-evicton"], 2, "there is no run"),
        (["run"], 4, "is not a Redis or Valkey server"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_request_is_refused_before_anything_is_made(ask, tmp_path, words, code, told):
    """The message names what is wrong, as it was typed, and the nearest right thing."""
    environment = {"WORKBENCH_REDIS_SERVER": "/bin/true"} if words == ["run"] else {}

    given, _, err = ask(*words, **environment)

    assert given == code
    assert told in err
    assert not (tmp_path / "runs").exists()


def made(folder, status, *, lost=False, verdict="pass"):
    run = make_run(folder / "made", status=status)
    rule = "lost-updates" if lost else "turns-failed"
    found = Finding(rule=rule, title="?", severity="critical", verdict=verdict, says="")
    return run, Findings([found])


@pytest.mark.parametrize(
    ("status", "lost", "verdict", "code"),
    [
        ("complete", False, "pass", 0),
        ("complete", False, "not applicable", 0),
        ("complete", False, "fail", 1),
        ("complete", True, "fail", 1),
        ("complete", False, "unknown", 3),
        ("invalid", False, "pass", 3),
        ("invalid", False, "fail", 3),
        ("invalid", True, "fail", 1),
        ("failed", True, "fail", 4),
        ("interrupted", True, "fail", 130),
    ],
)
def test_exit_code_is_that_of_the_table(tmp_path, status, lost, verdict, code):
    """Lost updates keep 1 even when the run is invalid: what was lost was lost."""
    assert exit_code(*made(tmp_path, status, lost=lost, verdict=verdict)) == code


def test_finding_of_severity_info_fails_no_command(tmp_path):
    """It is for reading."""
    run, _ = made(tmp_path, "complete")
    info = Finding(rule="x", title="?", severity="info", verdict="fail", says="")

    assert exit_code(run, Findings([info])) == 0


def test_check_says_as_json_what_it_says_in_words(ask, tiny_run, tmp_path):
    """One object on standard output, with the exit code that goes with it."""
    code, out, _ = ask("check", "tiny", "--json")
    _, words, _ = ask("check", "tiny")

    told = json.loads(out)
    assert told["exit_code"] == code == 1
    assert told["status"] == "complete"
    assert Path(told["run"]) == tmp_path / "runs" / "tiny"
    # The names of rules that passed or do not apply are set in lines of a hundred columns.
    flowing = " ".join(words.split())
    for found in told["findings"]:
        assert found["rule"] in flowing
        assert found["verdict"] != "fail" or found["says"][1:] in flowing


def test_latest_says_which_newer_runs_it_passed_over(ask, tiny_run, tmp_path):
    """A person who judges the wrong run should know."""
    make_run(tmp_path / "runs" / "tiny2", status="running")

    _, out, err = ask("check", "--exit-zero")

    assert out.splitlines()[-1].endswith("tiny/findings.json")
    assert "tiny2 is newer, and unsealed: workbench seal tiny2" in err


def test_list_shows_every_run_and_how_it_ended(ask, tiny_run, tmp_path):
    """For people a line each, for programs an array."""
    make_run(tmp_path / "runs" / "upset", status="running")

    _, words, _ = ask("list")
    _, out, _ = ask("list", "--json")

    lines = [line.split() for line in words.splitlines()]
    told = [["tiny", "tiny", "complete"], ["upset", "made", "unsealed"]]
    assert [line[:3] for line in lines] == told
    assert [(entry["run"], entry["status"]) for entry in json.loads(out)] == [
        ("tiny", "complete"),
        ("upset", "unsealed"),
    ]


def test_report_takes_parameters_by_name(ask, tiny_run):
    """A typing error is named; nothing is written."""
    code, _, err = ask("report", "tiny", "-p", "run_dri=x")

    assert code == 2
    assert "no parameter 'run_dri'; did you mean 'run_dir'" in err
    assert not (tiny_run.path / "report").exists()


def test_config_shows_what_a_run_would_be(ask, tmp_path):
    """Every default filled in, the documented formula worked out; what is printed is a file."""
    words = [
        "config",
        "experiment",
        "--profile",
        "production",
        "--task-memory",
        "1gb",
        "--rate",
        "7",
    ]

    code, out, _ = ask(*words, "--json")
    _, text, _ = ask(*words)

    told = json.loads(out)
    assert code == 0
    assert told["experiment"]["turns_per_s"] == 7
    assert told["redis.conf"]["maxmemory"] == str(340 * 1024 * 1024)
    assert told["redis.conf"]["stop-writes-on-bgsave-error"] == "no"
    assert f"#   maxmemory {340 * 1024 * 1024}\n" in text
    assert tomllib.loads(text)["load"]["turns_per_s"] == 7
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_server_to_explore_lasts_until_it_is_stopped(tmp_path, server_binary, number):
    """Its URL is the last line; after the stop there is no process and no file."""
    program = str(server_binary.path)
    process = workbench(tmp_path, "serve", "--maxmemory", "8mb", WORKBENCH_REDIS_SERVER=program)
    lines = [process.stdout.readline().strip() for _ in range(4)]
    with Redis.from_url(lines[-1], decode_responses=True) as client:
        cap = client.config_get("maxmemory")["maxmemory"]

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert lines[0].startswith(server_binary.label)
    assert f"kill {process.pid}" in lines[1]
    assert cap == str(8 * 1024 * 1024)
    assert (process.returncode, out, err) == (0, "", "")
    assert list((tmp_path / "runs").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_below(tmp_path) == []


def test_server_to_explore_dies_with_its_command_and_is_swept_up_by_the_next(tmp_path):
    """SIGKILL asks nobody: the server ends, and its folder goes when the next one starts."""
    process = workbench(tmp_path, "serve")
    assert process.stdout.readline()
    process.kill()
    process.communicate()
    wait_until(lambda: not processes_below(tmp_path), why="end of the server")
    (left,) = (tmp_path / "runs" / ".serve").iterdir()

    following = workbench(tmp_path, "serve")
    following.stdout.readline()

    assert not left.exists()
    assert len(list((tmp_path / "runs" / ".serve").iterdir())) == 1
    following.terminate()
    following.communicate(timeout=30)


def test_server_to_explore_keeps_its_data_where_it_is_told_to(tmp_path, server_binary):
    """The next server on that folder has it; two at once have not."""
    program = str(server_binary.path)
    words = ["serve", "--data", tmp_path / "kept", "--json"]
    for expected in (None, "kept"):
        process = workbench(tmp_path, *words, WORKBENCH_REDIS_SERVER=program)
        told = "".join(iter(process.stdout.readline, "}\n")) + "}"
        with Redis.from_url(json.loads(told)["url"], decode_responses=True) as client:
            found = client.get("key")
            client.set("key", "kept")
        second = workbench(tmp_path, *words, WORKBENCH_REDIS_SERVER=program)
        _, err = second.communicate(timeout=30)
        process.terminate()
        process.communicate(timeout=30)

        assert found == expected
        assert second.returncode == 2
        assert "still being written by another process" in err


def test_server_that_is_not_ours_is_sampled_read_only(tmp_path, ask, start_server):
    """INFO and CONFIG GET; nothing is written, and rules on turns do not apply."""
    server = start_server()
    with server.client() as client:
        client.set("somebody", "else")
        client.config_resetstat()

        code, out, err = ask(
            "sample", "--url", server.url, "--for", "2s", "--interval", "200ms", "--json"
        )

        sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert client.dbsize() == 1
    told = json.loads(out)
    verdicts = {found["rule"]: found["verdict"] for found in told["findings"]}
    run = Run(Path(told["run"]))
    assert (code, told["status"]) == (told["exit_code"], "complete"), err
    assert sent <= {*LOOKS, "hello", "config|resetstat", "client|setinfo"}
    assert len(run.samples) >= 2
    assert run.measured_s >= 2
    assert verdicts["live-state-evicted"] == verdicts["lost-updates"] == "not applicable"


@pytest.mark.parametrize(("taken", "code"), [("", 0), ("-info", 4)])
def test_user_of_the_page_may_sample(ask, start_server, taken, code):
    """The line of the how-to is enough, and not more than enough."""
    page = (ROOT / "docs" / "how-to" / "attach.md").read_text()
    line = re.search(r"^    (ACL SETUSER .+)$", page, re.MULTILINE)[1]
    server = start_server()
    url = server.url.replace("redis://", "redis://watcher:changeme@")
    with server.client() as client:
        client.execute_command(*line.split(), *taken.split())

        ended, out, err = ask("sample", "--url", url, "--for", "1s", "--interval", "200ms")

        denied = {entry["object"] for entry in client.acl_log()}
    assert ended == code, out + err
    assert denied - {"client|setinfo"} == ({"info"} if taken else set())
    assert "secret" not in out + err


def test_sampling_that_is_interrupted_is_sealed(tmp_path, start_server):
    """Ctrl-C is the usual end of watching."""
    server = start_server()
    process = workbench(tmp_path, "sample", "--url", server.url, "--for", "1h")
    wait_until(lambda: list(tmp_path.glob("runs/*/samples/part-*")), timeout_s=30, why="a sample")

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    assert read_manifest(only_run(tmp_path)).status == "interrupted"
    assert Run(only_run(tmp_path)).measured_s > 0


def test_sampling_of_a_server_that_dies_fails(tmp_path, start_server):
    """Exit code 4 once it was not reached for some seconds; what was seen is kept."""
    server = start_server()
    process = workbench(tmp_path, "sample", "--url", server.url, "--for", "1h")
    wait_until(lambda: list(tmp_path.glob("runs/*/samples/part-*")), timeout_s=30, why="a sample")

    server.stop()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 4
    assert "the server stopped answering" in err
    assert read_manifest(only_run(tmp_path)).status == "failed"


def test_engine_that_is_asked_for_is_started(ask):
    """Or the message says that the named program is another."""
    for engine in ("redis", "valkey"):
        code, out, err = ask("config", "experiment", "--engine", engine, "--json")
        if code == 0:
            assert json.loads(out)["server"]["engine"] == engine
        else:
            assert code == 4
            assert f"no {engine.capitalize()} server" in err


IN_A_NETWORK_OF_ITS_OWN = """
ip link set lo up
ip address add 10.11.12.13/32 dev lo
"$1" --port 7001 --bind 10.11.12.13 --protected-mode no --save '' --dir "$2" >/dev/null &
server=$!
for _ in $(seq 100); do
    "$4" -c "import socket; socket.create_connection(('10.11.12.13', 7001), 1)" 2>/dev/null && break
done
url=redis://10.11.12.13:7001
"$3" run --url $url; echo "refused $?"
"$3" run --url $url --i-own 10.11.12.13; echo "half-named $?"
"$3" run --url $url --i-own 10.11.12.13:7001 --rate 60 --duration 2s --no-report --exit-zero
echo "owned $?"
"$4" - <<'END'
from redis import Redis
client = Redis(host="10.11.12.13", port=7001, decode_responses=True)
print("sent", *client.info("commandstats"))
client.flushall(); client.set("somebody", "else")
END
"$3" run --url $url --i-own 10.11.12.13:7001; echo "foreign $?"
kill $server; wait $server 2>/dev/null
"""


@pytest.mark.capability("network-namespace")
def test_server_of_another_host_is_loaded_only_if_somebody_answers_for_it(tmp_path, server_binary):
    """Named in full, and without foreign keys; no command that administers is ever sent to it."""
    inside = ["unshare", "--net", "--map-root-user", "sh", "-c", IN_A_NETWORK_OF_ITS_OWN, "sh"]
    arguments = [server_binary.path, tmp_path, PROGRAM, sys.executable]
    inherited = {k: v for k, v in os.environ.items() if k != "REDIS_STATE_URL"}

    told = subprocess.run(
        [*inside, *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, "WORKBENCH_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    out, err = told.stdout, told.stderr
    codes = dict(line.split() for line in out.splitlines() if line.split()[-1].isdigit())
    sent = next(line for line in out.splitlines() if line.startswith("sent "))
    assert {**codes, "2026": ""}.items() >= {
        ("refused", "2"),
        ("half-named", "2"),
        ("owned", "0"),
        ("foreign", "2"),
    }, out + err
    assert "does not carry" in err or "not the workbench's" in err
    administers = ("flushall", "flushdb", "debug", "shutdown", "config|set", "config|resetstat")
    assert "set" in sent
    assert [name for name in administers if f"cmdstat_{name}" in sent.split()] == []


def test_damaged_manifest_is_named(ask, tiny_run):
    """A run of another version, or one that is no run."""
    manifest = read_manifest(tiny_run.path)
    manifest.schema_version = 99
    write_manifest(tiny_run.path, manifest)

    code, _, err = ask("check", "tiny")

    assert code == 2
    assert "schema version 99" in err
