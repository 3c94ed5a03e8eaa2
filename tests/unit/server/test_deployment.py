"""What a deployment's file says of its Redis; and what is said of a file that is none."""

import json

import pytest

from workbench.errors import UsageError
from workbench.server.deployment import read_deployment

MIB = 1024**2
COMPOSE = """
services:
  web: {image: "python:3.11"}
  redis-state:
    image: docker.io/library/redis:7.0-alpine
    mem_limit: 716m
    healthcheck: {test: ["CMD", "redis-cli", "ping"]}
"""
TASK = {
    "memory": "2048",
    "containerDefinitions": [
        {"name": "app", "image": "app:1", "memory": 1024},
        {
            "name": "redis",
            "image": "public.ecr.aws/docker/library/redis:7.0-alpine",
            "memory": 716,
            "healthCheck": {"command": ["CMD-SHELL", "redis-cli -e ping"]},
        },
    ],
}


def written(tmp_path, text, name="deployment.yml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_compose_service_tells_its_limit_and_its_health_check(tmp_path):
    """The one that runs a Redis, without being named."""
    found = read_deployment(written(tmp_path, COMPOSE))

    assert (found.name, found.memory_limit_bytes) == ("redis-state", 716 * MIB)
    assert found.health_check == "redis-cli ping"


@pytest.mark.parametrize(
    ("lines", "limit", "check"),
    [
        ("{deploy: {resources: {limits: {memory: 1g}}}, image: redis}", 1024 * MIB, ""),
        ("{image: valkey/valkey:8, healthcheck: {disable: true, test: x}}", None, ""),
        ("{command: redis-server --save '', mem_limit: 1048576}", MIB, ""),
        ("{image: redis, healthcheck: {test: redis-cli -e ping}}", None, "redis-cli -e ping"),
    ],
)
def test_compose_is_read_in_all_its_spellings(tmp_path, lines, limit, check):
    """Limits and checks have two places each, and several forms."""
    found = read_deployment(written(tmp_path, f"services: {{redis: {lines}}}"))

    assert (found.memory_limit_bytes, found.health_check) == (limit, check)


@pytest.mark.parametrize("definition", [TASK, TASK["containerDefinitions"]])
def test_ecs_definition_tells_the_containers_limit(tmp_path, definition):
    """Its own, before the task's."""
    found = read_deployment(written(tmp_path, json.dumps(definition), "task.json"))

    assert (found.memory_limit_bytes, found.health_check) == (716 * MIB, "redis-cli -e ping")


def test_ecs_container_without_a_limit_has_the_tasks(tmp_path):
    """It may take what the others leave."""
    task = {"memory": "2048", "containerDefinitions": [{"name": "redis", "image": "redis:7"}]}

    assert read_deployment(written(tmp_path, json.dumps(task))).memory_limit_bytes == 2048 * MIB


@pytest.mark.parametrize(
    ("text", "service", "says"),
    [
        (COMPOSE, "redis-stat", "did you mean 'redis-state'"),
        ("services: {web: {image: nginx}}", "", "has no Redis; name one of web by --service"),
        ("services: {a: {image: redis}, b: {image: redis}}", "", r"several Redises \(a, b\)"),
        ("just words", "", "neither a compose file"),
        ("[1, 2]", "", "neither a compose file"),
        ("a: [", "", "neither YAML nor JSON"),
        ("services: {redis: {image: redis, mem_limit: lots}}", "", "lots"),
    ],
)
def test_file_that_says_nothing_of_a_redis_is_refused(tmp_path, text, service, says):
    """With what is missing."""
    with pytest.raises(UsageError, match=says):
        read_deployment(written(tmp_path, text), service)
