"""docker-compose.yml agrees with the profiles and is safe to start."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.capabilities import compose
from workbench.server.profiles import profile
from workbench.units import MIB, parse_bytes

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]

TASK_MEMORY_MIB = 1024
DOCUMENTED = {
    "redis-state": (
        profile("development"),
        {"maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"},
    ),
    "redis-state-production": (
        profile("production", task_memory_mib=TASK_MEMORY_MIB),
        {
            *("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"),
            *("auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size"),
            "stop-writes-on-bgsave-error",
        },
    ),
}


@pytest.mark.parametrize("service", DOCUMENTED)
def test_server_is_started_as_its_profile_says(service):
    """The documented flags, each with the value that the private server has."""
    program, *words = shlex.split(SERVICES[service]["command"])
    given = {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }
    wanted, documented = DOCUMENTED[service]

    directives = {name: value.strip('"') for name, value in wanted.directives().items()}
    for size in {"maxmemory", "auto-aof-rewrite-min-size"} & set(given):
        given[size] = str(parse_bytes(given[size]))

    assert program == "redis-server"
    assert given == {name: directives[name] for name in documented}


def test_production_server_has_the_memory_of_its_share_of_the_task():
    """The container's limit is 35 % of the task, and the cap is below it."""
    limit_bytes = parse_bytes(SERVICES["redis-state-production"]["mem_limit"] + "b")

    assert limit_bytes == int(TASK_MEMORY_MIB * 0.35) * MIB
    assert DOCUMENTED["redis-state-production"][0].maxmemory_bytes < limit_bytes


@pytest.mark.parametrize("service", DOCUMENTED)
def test_server_has_the_documented_image_and_intervals(service):
    """Only the command of the health test differs from the documented one."""
    health = SERVICES[service]["healthcheck"]

    assert SERVICES[service]["image"] == "redis:7.0-alpine"
    assert health.keys() == {"test", "interval", "timeout", "retries"}
    assert (health["interval"], health["timeout"], health["retries"]) == ("5s", "3s", 3)
    assert health == SERVICES["redis-state"]["healthcheck"]


def test_ports_are_published_on_loopback_only():
    """Neither a server without a password nor a notebook is offered to the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def schema_verdict(file):
    """The file held against the compose specification, which comes with the checker."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*words, file], capture_output=True, text=True, check=False)


def compose_verdict(file):
    """The file as Compose itself reads it."""
    words = [*compose(), "--project-directory", ROOT, "--file", file, "config", "--quiet"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def changed(tmp_path, old, new):
    """A copy of the compose file with one thing changed."""
    text = FILE.read_text()
    assert old in text
    copy = tmp_path / FILE.name
    copy.write_text(text.replace(old, new, 1))
    return copy


def test_file_is_valid_by_the_specification():
    """Every key is one that Compose knows, with a value of its kind."""
    verdict = schema_verdict(FILE)

    assert verdict.returncode == 0, verdict.stdout


def test_specification_refuses_a_misspelt_key(tmp_path):
    """The control: a key that does not exist is found."""
    verdict = schema_verdict(changed(tmp_path, "timeout: 3s", "timeoutt: 3s"))

    assert verdict.returncode == 1
    assert "timeoutt" in verdict.stdout


@pytest.mark.capability("compose")
def test_file_is_accepted_by_compose():
    """Compose resolves it."""
    verdict = compose_verdict(FILE)

    assert verdict.returncode == 0, verdict.stderr


@pytest.mark.capability("compose")
def test_compose_refuses_a_dependency_on_a_service_that_is_not_started(tmp_path):
    """The control: a service without a profile needs one with a profile; the schema allows it."""
    image = "image: redis:7.0-alpine\n"
    file = changed(tmp_path, image, image + "    depends_on: [redis-state-production]\n")

    verdict = compose_verdict(file)

    assert schema_verdict(file).returncode == 0
    assert verdict.returncode == 1
    assert "depends on undefined service" in verdict.stderr
