"""Every command that the pages and the help show is one that works."""

import re
import shlex
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
import yaml

from tests.commands import ROOT, workbench
from tests.conftest import GOLDEN
from tests.frames import make_run
from workbench.cli import app
from workbench.inspection.masked import masked_key
from workbench.server.backup.take import take_backup
from workbench.state import StateManager, document

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def shown():
    """Each command in the pages' examples and sentences, and in the help; with its page."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"^ {4,6}(\S.*)$", text, re.MULTILINE)
        lines += re.findall(r"`((?:\.venv/bin/workbench|make|docker compose) [^`]+)`", text)
        for line in lines:
            if re.match(r"(?:\.venv/bin/)?workbench (?!run  )|make |docker compose ", line):
                found.setdefault(line.partition("  #")[0].strip(), page.relative_to(ROOT))
    return found


SHOWN = shown()
OURS = sorted(line for line in SHOWN if Path(line.split()[0]).name == "workbench")


def test_examples_are_found():
    """The tests below would pass on pages without any."""
    assert "make demo" in SHOWN
    assert ".venv/bin/workbench run demo --maxmemory 32mb --duration 90s" in SHOWN
    assert "workbench list" in SHOWN
    assert len(OURS) >= 15


@pytest.mark.parametrize("line", OURS)
def test_example_is_understood(line):
    """Its command, options and values are those of the program."""
    group = typer.main.get_group(app)
    name, *words = shlex.split(line)[1:]

    command = group.commands[name]
    while isinstance(command, typer.core.TyperGroup):
        name, *words = words
        command = command.commands[name]
    context = command.make_context(name, words)

    assert context.params


def test_example_with_a_misspelt_option_would_not_be_understood():
    """The control of the test above."""
    command = typer.main.get_group(app).commands["run"]

    with pytest.raises(Exception, match="No such option: --duratoin"):
        command.make_context("run", ["--duratoin", "3s"])


@pytest.mark.parametrize("line", sorted(line for line in SHOWN if line.startswith("make ")))
def test_example_of_make_has_its_target(line):
    """What `make` is asked for is in the Makefile."""
    targets = set(re.findall(r"^([a-z./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(line.split()[1:]) <= targets


@pytest.mark.parametrize("line", sorted(line for line in SHOWN if line.startswith("docker ")))
def test_example_of_compose_names_a_service(line):
    """The last word is a service of docker-compose.yml; Compose itself is not on every machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert line.split()[-1] in services


@pytest.fixture
def folder(tmp_path):
    """Runs as the examples take them for granted: a sealed one, and one that was left behind."""
    shutil.copytree(GOLDEN, tmp_path / "runs" / "2026-11-23T080000Z-demo-1f2e")
    return tmp_path


USUAL_PORT = {"doctor", "watch", "export", "health"}


@pytest.mark.slow
@pytest.mark.parametrize("line", OURS)
def test_example_works(folder, redis_server, client, line):
    """Carried out, with its URL led to a server of the test, and shorter where it takes long."""
    server = redis_server.url.removeprefix("redis://")
    led = line.replace("rediss://cache.example:6379", redis_server.url)  # TLS has its own tests
    led = led.replace("cache.example:6379", server)
    led = re.sub(r"(redis-state|127\.0\.0\.1|localhost):\d+", server, led)
    led = re.sub(r"\S+/appendonlydir", str(redis_server.folder / "appendonlydir"), led)
    led = re.sub(r" --markdown docs/\S+", "", led)  # which takes all figures, and minutes
    led = led.replace("lab memory --grid memory", "lab memory --quick")  # a part of it
    led = led.replace("../chat-service", str(ROOT / "loadtests"))
    led = led.replace("mine.toml", "loadtests/experiments/demo.toml")
    led = re.sub(r"(?<= )redis\.conf", str(GOLDEN / "redis.conf"), led)
    led = led.replace("runs/explored", str(folder / "runs" / "explored"))
    led = led.replace("/backup/redis", str(folder / "backups"))
    led = re.sub(r"(?<= )slo\.(?:md|xml)", lambda name: str(folder / name[0]), led)
    if (
        "compare-engines" in led
    ):  # takes minutes, and has its own tests: tests/server/test_engines.py
        led = "workbench compare-engines --runs 2026-11-23T080000Z-demo-1f2e"
    led = led.replace("/var/log/redis/redis-server.log", str(GOLDEN / "logs" / "redis.log"))
    led = led.replace("s3://bucket/runs", str(folder / "runs"))
    led = led.replace("#3f9a51c2", masked_key("channel:1").rpartition("]")[2])
    led = led.replace("kept.json", str(folder / "kept.json")).replace(
        "--duration 60", "--duration 2"
    )
    for key in ("channel:1", "channel:2", "channel:263770000000"):
        kept = StateManager(key, client, ttl_s=300)
        kept.initialize_channel("whatsapp", key.partition(":")[2])
    begun = document.new_document("whatsapp", "1", datetime.now(UTC))
    (folder / "kept.json").write_bytes(document.encode(begun))
    name, *words = shlex.split(led)[1:]
    # Those that ask the server on the usual port, if no other is named.
    at = {"REDIS_STATE_URL": redis_server.url} if name in USUAL_PORT else {}
    if name == "seal":
        run = folder / "runs" / words[0]
        shutil.rmtree(run)
        make_run(run, status="running")
    if name == "run":
        client.flushall()  # it loads an empty server, or one that it has loaded before
    if name == "restore":
        take_backup(redis_server.url, str(folder / "backups"))
    if name == "serve":
        process = workbench(folder, name, *words)
        told = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
    else:
        shorter = {
            "run": ["--duration", "1s", "--rate", "60", "--no-report"],
            "sample": ["--for", "2s"],
            "watch": [] if "--once" in words else ["--for", "2s"],
            "capacity": ["--from", "100", "--to", "100"],
            "export": ["--once"],
            "bench": [] if "--quick" in words else ["--quick"],
            "size": ["--cells", "10", "--largest", "16mb"] if "--calibrate" in words else [],
        }
        process = workbench(folder, name, *words, *shorter.get(name, []), **at)
        told = []

    out, err = process.communicate(timeout=90)

    assert process.returncode in {0, 1, 3}, err
    assert "Traceback" not in err
    assert "".join(told) + out or "tail" in words  # of which nobody says anything meanwhile
