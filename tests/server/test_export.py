"""workbench export on real servers: scraped, printed as lines, and sent to an emulator."""

import json
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from tests.commands import workbench
from tests.unit.telemetry.test_cloudwatch import check_emf
from tests.waiting import wait_until
from workbench.cli import app
from workbench.cli import export as commands
from workbench.errors import UsageError
from workbench.telemetry import cloudwatch
from workbench.telemetry.cloudwatch import CloudWatch, SendError, data
from workbench.telemetry.export import (
    ACL_LINE,
    ACL_LINE_KEYS,
    Increases,
    Observer,
    exposition,
    serve_prometheus,
)
from workbench.telemetry.metrics import METRICS, PREFIX, Reading, samples

MIB = 1024**2
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "watch-in-production.md"
LIMIT_BYTES = 64 * MIB


@pytest.fixture(scope="module")
def server(start_servers):
    return start_servers()


@pytest.fixture
def said():
    return []


@pytest.fixture
def observer(server, said):
    with server.client() as client:
        client.flushall()
    made = Observer(server.url, say=said.append, limit_bytes=LIMIT_BYTES, keys=100)
    yield made
    made.close()


def scraped(address):
    """Each figure by its name without the prefix, with its labels if there are any."""
    with urllib.request.urlopen(address, timeout=10) as answer:  # of this machine
        text = answer.read().decode()
    return parsed(text)


def parsed(text):
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            assert METRICS[sample.name].kind == family.type
            key = (name, *sample.labels.values()) if sample.labels else name
            assert key not in found
            found[key] = sample.value
    return found


def test_scrape_tells_what_the_server_does(server, observer):
    """One look a scrape, over HTTP, in the text that Prometheus parses."""
    with server.client() as client:
        for number in range(200):
            client.set(f"channel:{number}", "x", ex=300)
        client.get("channel:0")
        client.get("channel:none")
        client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_base_size"] > 0, timeout_s=20)
        with pytest.raises(Exception, match="wrong number"):
            client.execute_command("GET")

        with serve_prometheus(observer, "127.0.0.1", 0) as address:
            found = scraped(address)
            again = scraped(address)
        info = client.info("everything")

    assert found["up"] == 1
    assert found["loading"] == 0
    assert found["memory_limit_bytes"] == LIMIT_BYTES
    assert found["memory_headroom_bytes"] == LIMIT_BYTES - found["memory_rss_bytes"]
    assert found["memory_max_bytes"] == info["maxmemory"]
    assert found["keys", "0"] == found["keys_expiring", "0"] == 200
    assert found["keyspace_hits_total"] >= 1  # looks at keys by PTTL and MEMORY USAGE count too
    assert found["keyspace_misses_total"] == info["keyspace_misses"]
    assert found["aof_rewrites_total"] >= 1
    assert found["aof_last_rewrite_ok"] == found["aof_last_write_ok"] == 1
    assert found["aof_rewrite_consecutive_failures"] == 0
    assert found["fork_last_duration_seconds"] == info["latest_fork_usec"] / 1e6
    assert found["errors_total", "MISCONF"] == 0
    assert found["errors_total", "ERR"] >= 1
    assert found["command_latency_seconds", "set", "0.999"] > 0
    assert found["sampled_keys"] == 100
    assert found["key_idle_seconds", "0.9"] >= 0
    assert again["commands_processed_total"] > found["commands_processed_total"]


def test_nothing_of_a_limit_is_told_where_none_is_known(server, monkeypatch):
    """A server of another host, that nobody said the limit of: absent, and not 0."""
    monkeypatch.setattr("workbench.telemetry.export.process_of_server", lambda *_: None)
    observer = Observer(server.url, say=print)
    found = parsed(exposition(observer))
    observer.close()

    absent = {"memory_limit_bytes", "memory_headroom_bytes", "memory_limit_ratio"}
    absent |= {"cow_headroom_ratio", "disk_free_bytes", "sampled_keys"}
    assert not absent & {name for name in found if isinstance(name, str)}
    assert "memory_rss_bytes" in found


def test_server_that_goes_is_down_and_said_once_and_comes_back(start_server, said):
    """Counters begin again at 0 after a restart, and are told as they are."""
    server = start_server()
    observer = Observer(server.url, say=said.append)
    before = parsed(exposition(observer))
    server.stop()
    down = [parsed(exposition(observer)) for _ in range(2)]
    server.start()
    after = parsed(exposition(observer))
    observer.close()

    assert (before["up"], after["up"]) == (1, 1)
    for each in down:
        assert each.keys() == {"up", "scrape_duration_seconds"}
        assert each["up"] == 0
    assert len(said) == 2
    assert "does not answer" in said[0]
    assert "answers again" in said[1]


@pytest.mark.parametrize(("line", "keys"), [(ACL_LINE, 0), (ACL_LINE_KEYS, 10)])
def test_user_of_the_documented_line_is_enough(server, said, line, keys):
    """What it may not ask it asks once only: each try would count as an error reply."""
    url = server.url.replace("redis://", "redis://exporter:changeme@")
    with server.client() as client:
        client.set("channel:1", "x")
        client.execute_command(*line.split())
        enough = Observer(url, say=said.append, keys=keys)
        told = parsed(exposition(enough))
        silent = not said
        client.acl_setuser("exporter", enabled=True, commands=["-config|get", "-scan"])
        before = client.info("stats")["total_error_replies"]
        less = [parsed(exposition(enough)) for _ in range(3)][-1]
        errors = client.info("stats")["total_error_replies"] - before
        enough.close()
        client.acl_deluser("exporter")

    assert silent
    assert told["up"] == less["up"] == 1
    assert ("sampled_keys" in told) == bool(keys)
    assert "sampled_keys" not in less
    assert errors == len(said) == (2 if keys else 1)
    assert line in PAGE.read_text()


def test_counters_are_told_as_growth_and_go_on_after_a_restart():
    """The first look has nothing to compare with; a lost one is made up for by the next."""
    increases = Increases()

    def growth(life, **info):
        reading = Reading(info={"run_id": life, "total_error_replies": 0, **info})
        return {
            (sample.metric.name.removeprefix(PREFIX), *sample.labels): sample.value
            for sample in increases.since_taken(reading)
            if sample.metric.kind == "counter"
        }

    first = growth("a", evicted_keys=10)
    increases.taken()
    second = growth("a", evicted_keys=15, cmdstat_get={"calls": 3})  # could not be sent
    third = growth("a", evicted_keys=18, errorstat_ERR={"count": 2})
    increases.taken()
    down = increases.since_taken(Reading(info=None))
    increases.taken()
    restarted = growth("b", evicted_keys=40)

    assert first == {}
    assert second["evicted_keys_total",] == 5
    assert second["commands_total", "get"] == 3
    assert third["evicted_keys_total",] == 8
    assert third["errors_total", "ERR"] == 2
    assert [sample.value for sample in down] == [0]
    assert restarted["evicted_keys_total",] == 40


@pytest.fixture(scope="module")
def emulator():
    """CloudWatch, on this machine."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch):
    """Of nobody."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def test_figures_arrive_in_cloudwatch(observer, emulator, credentials):
    """Each by its name, its unit, and the server's name."""
    made = data(samples(observer.read()), server="redis-state", unix_s=1.8e9, high_resolution=False)
    sender = CloudWatch(namespace="RedisFlow", region="eu-west-1", endpoint_url=emulator)
    requests = sender.send(made)
    sender.close()
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=emulator)
    pages = client.get_paginator("list_metrics").paginate(Namespace="RedisFlow")
    listed = {each["MetricName"] for page in pages for each in page["Metrics"]}

    assert requests == 1
    assert listed == {each["MetricName"] for each in made}


def test_figures_that_do_not_arrive_are_an_error_that_names_why(credentials):
    """Nobody listens there; boto3 has tried again by itself."""
    sender = CloudWatch(namespace="N", region="eu-west-1", endpoint_url="http://127.0.0.1:9")
    sender._client.meta.config.retries = {"total_max_attempts": 1}

    with pytest.raises(SendError, match=re.escape("127.0.0.1:9")):
        sender.send(data(samples(Reading(info=None)), server="s", unix_s=1, high_resolution=True))


def test_missing_boto3_is_named_with_what_installs_it(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(cloudwatch.importlib, "import_module", missing)

    with pytest.raises(Exception, match=re.escape("redis-flow-workbench[cloudwatch]")):
        CloudWatch(namespace="N")


@pytest.mark.whole_command
def test_command_serves_until_it_is_interrupted(tmp_path, server):
    """It says where, answers, and ends by 130 with its port free again."""
    words = ["--to", "prometheus", "--listen", "127.0.0.1:0", "--url", server.url]
    process = workbench(tmp_path, "export", *words)
    address = process.stdout.readline().strip()
    found = scraped(address)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert found["up"] == 1
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    with pytest.raises(OSError, match="refused"):
        scraped(address)


@pytest.mark.whole_command
def test_command_prints_lines_until_it_is_terminated(tmp_path, server):
    """The second look has counters, as growth."""
    process = workbench(
        tmp_path, "export", "--to", "emf", "--interval", "1s", "--name", "s", "--url", server.url
    )
    told = {}
    while ("CommandsProcessed", ("s",)) not in told:
        told |= check_emf(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)

    assert told["Up", ("s",)] == 1
    assert 0 < told["CommandsProcessed", ("s",)] < 1000
    assert process.returncode == 130
    assert "Traceback" not in err


def test_figures_that_cannot_be_sent_are_counted_and_said(observer, monkeypatch, capsys):
    """And sent with the next that can be."""
    sent = []

    class Failing:
        def __init__(self, **_):
            self.fails = 2

        def send(self, made):
            self.fails -= 1
            if self.fails >= 0:
                raise SendError("CloudWatch took no figures: for the test")
            sent.extend(made)

    monkeypatch.setattr(cloudwatch, "CloudWatch", Failing)
    send = commands._sender(
        "cloudwatch",
        observer,
        namespace=None,
        server="s",
        region=None,
        endpoint_url=None,
        by_command=False,
        high_resolution=False,
    )

    done = [send() for _ in range(4)]

    err = capsys.readouterr().err
    told = [(each["MetricName"], each["Value"]) for each in sent]
    assert done == [False, False, True, True]
    assert "(1 times)" in err
    assert "(2 times)" in err
    assert ("ExportUnsent", 0) in told
    assert not any(name in {"Commands", "CommandLatency"} for name, _ in told)


@pytest.mark.slow
@pytest.mark.whole_command
def test_command_goes_on_though_cloudwatch_does_not_answer(tmp_path, server, credentials):
    """What could not be sent is counted, and said; with --once it is the end."""
    words = ["--to", "cloudwatch", "--region", "eu-west-1", "--endpoint-url", "http://127.0.0.1:9"]
    words = ["export", *words, "--interval", "1s", "--url", server.url]
    environment = {"AWS_MAX_ATTEMPTS": "1"}

    once = workbench(tmp_path, *words, "--once", **environment)
    _, why = once.communicate(timeout=30)
    process = workbench(tmp_path, *words, **environment)
    said = [process.stderr.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert once.returncode == 4
    assert "CloudWatch took no figures" in why
    assert "(1 times)" in said[0]
    assert "(2 times)" in said[1]
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "promethius"], "did you mean 'prometheus'?"),
        (["--to", "emf", "--listen", "127.0.0.1:1"], "--listen does nothing"),
        (["--to", "prometheus", "--interval", "5s"], "--interval does nothing"),
        (["--to", "emf", "--region", "x"], "--region does nothing"),
        (["--to", "prometheus", "--listen", "9121"], "127.0.0.1:9121"),
        (["--to", "emf", "--interval", "0"], "outside 1s"),
        (["--to", "emf", "--keys", "1000000"], "outside 0 to 10000"),
        (["--to", "emf", "--namespace", "AWS/Redis"], "--namespace"),
        (["--to", "emf", "--url", "127.0.0.1:6379"], "not the URL of a server"),
        (["--to", "emf", "--limit", "0"], "--limit"),
        (["--to", "cloudwatch", "--region", "x", "--endpoint-url", "here"], "CloudWatch"),
    ],
)
def test_option_that_makes_no_sense_is_refused(words, says):
    done = CliRunner().invoke(app, ["export", *words])

    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)
    assert done.output == ""


def test_port_that_is_taken_is_named(observer, server):
    """By the server itself."""
    taken = server.url.removeprefix("redis://")
    says = re.escape(f"--listen {taken}: Address already in use")

    with (
        pytest.raises(UsageError, match=says),
        serve_prometheus(observer, "127.0.0.1", int(taken.partition(":")[2])),
    ):
        pass


@pytest.mark.parametrize("to", ["emf", "prometheus"])
def test_one_look_at_nobody_exits_with_4(monkeypatch, to):
    """And tells that the server is down, without the password."""
    monkeypatch.setenv("REDIS_STATE_URL", "redis://:hunter2@127.0.0.1:9")

    done = CliRunner().invoke(app, ["export", "--to", to, "--once"])

    assert done.exit_code == 4
    told = json.loads(done.stdout)["Up"] if to == "emf" else parsed(done.stdout)["up"]
    assert told == 0
    assert "hunter2" not in done.output
