"""docker-compose.yml agrees with the profiles and is safe to start."""

import shlex
from pathlib import Path

import pytest
import yaml

from workbench.server.profiles import profile
from workbench.units import MIB, parse_bytes

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

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
