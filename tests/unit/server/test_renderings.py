"""The documented settings in each form: exact, readable by what reads that form, and the same."""

import json
import re
import shlex
from math import floor
from types import SimpleNamespace

import pytest
import yaml
from botocore.session import Session
from botocore.validate import ParamValidator

from workbench.errors import UsageError
from workbench.server.renderings import FORMATS, documented, render

DEVELOPMENT = (
    "--maxmemory 512mb --maxmemory-policy allkeys-lru --appendonly yes --appendfsync everysec "
    '--save ""'
)
PRODUCTION = (
    "--appendonly yes --appendfsync everysec --auto-aof-rewrite-percentage 100 "
    "--auto-aof-rewrite-min-size 64mb --maxmemory-policy allkeys-lru --maxmemory 680mb "
    '--save "" --stop-writes-on-bgsave-error no'
)
WORDS = {
    "development": ["redis-server", *shlex.split(DEVELOPMENT)],
    "production": ["redis-server", *shlex.split(PRODUCTION)],
}
FARGATE = r"(?:net\.|fs\.mqueue\.|kernel\.(?:msg|sem|shm)).*"

both = pytest.mark.parametrize("name", WORDS)


def service(name):
    return yaml.safe_load(render(documented(name), "compose"))["services"]["redis-state"]


@both
def test_command_line_is_the_documented_one(name):
    """Word for word, in the documented order."""
    assert shlex.split(render(documented(name), "argv")) == WORDS[name]


@both
def test_lines_of_redis_conf_are_the_documented_flags(name):
    """Without its comments it has these lines and no other."""
    text = render(documented(name), "conf")
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    assert [word for line in lines for word in shlex.split(f"--{line}")] == WORDS[name][1:]


@both
def test_compose_service_is_the_documented_one_with_a_health_test_that_tells(name):
    """As YAML reads it; -e makes redis-cli exit 1 on an error."""
    told = service(name)

    assert told["image"] == "redis:7.0-alpine"
    assert shlex.split(told["command"]) == WORDS[name]
    assert told["healthcheck"] == {
        "test": ["CMD", "redis-cli", "-e", "ping"],
        "interval": "5s",
        "timeout": "3s",
        "retries": 3,
    }
    assert told.get("mem_limit") == {"development": None, "production": "716m"}[name]


@both
def test_container_definition_is_one_that_ecs_takes(name):
    """By the shape that the AWS client has of it; a wrong one is refused."""
    told = json.loads(render(documented(name), "ecs"))
    shape = Session().get_service_model("ecs").shape_for("ContainerDefinition")

    def errors(definition):
        return ParamValidator().validate(definition, shape).generate_report()

    assert errors(told) == ""
    assert errors(told | {"memory": "716"})
    assert told["command"] == WORDS[name]
    assert told.get("memory") == {"development": None, "production": 716}[name]
    assert all(re.fullmatch(FARGATE, each["namespace"]) for each in told["systemControls"])
    assert not re.fullmatch(FARGATE, "vm.overcommit_memory")


def as_json(hcl, task_memory_mib):
    """The container definitions of a task definition, worked out as Terraform would."""
    for opening, closing in ("{}", "[]", "()"):
        assert hcl.count(opening) == hcl.count(closing)
    assert re.fullmatch(
        r'# .*\n(?:variable "\w+" \{\n(?:  \w+ += .+\n)+\}\n\n){2}'
        r'resource "aws_ecs_task_definition" "redis_state" \{\n(?:  \w+ += .+\n|\n)+'
        r"  container_definitions = jsonencode\(\[\n(?:    .*\n)+  \]\)\n\}\n",
        hcl,
    )
    inner = re.search(r"jsonencode\((\[\n.*\n  \])\)", hcl, re.DOTALL)[1]
    inner = re.sub(r"^\s*#.*\n", "", inner, flags=re.MULTILINE)
    inner = re.sub(r"^(\s*)(\w+)\s+= (.*?),?$", r'\1"\2": \3,', inner, flags=re.MULTILINE)
    inner = re.sub(r"^(\s*[\]}])$", r"\1,", inner, flags=re.MULTILINE).rstrip(",")
    inner = re.sub(r"([\[{]),$", r"\1", inner, flags=re.MULTILINE)
    inner = re.sub(r"\$\{(floor\([^)]*\))\}mb", r'" + str(\1) + "mb', inner)
    names = {"floor": floor, "str": str, "true": True, "__builtins__": {}}
    return eval(inner, names | {"var": SimpleNamespace(task_memory=task_memory_mib)})


@pytest.mark.parametrize("task_memory_mib", [1024, 2048, 4096])
def test_task_definition_comes_to_the_container_definition_of_each_task(task_memory_mib):
    """The formula stays an expression, so one text is right for every size of the task."""
    text = render(documented("production"), "terraform")
    environment = documented("production", task_memory_mib=task_memory_mib)

    assert '"--maxmemory", "${floor(var.task_memory * 0.35 * 0.95)}mb"' in text
    assert "680" not in text
    assert as_json(text, task_memory_mib) == [json.loads(render(environment, "ecs"))]


def test_task_definition_of_the_development_server_has_its_own_cap():
    """It has no task, so there is no formula."""
    text = render(documented("development"), "terraform")

    assert "floor" not in text
    assert as_json(text, 1) == [json.loads(render(documented("development"), "ecs"))]


@pytest.mark.parametrize("form", ["conf", "compose", "terraform"])
def test_setting_without_effect_is_said_to_have_none(form):
    """Where the format has comments; the setting stays, since it is documented."""
    text = " ".join(render(documented("production"), form).split()).replace("# ", "")

    assert "No effect: it is looked at only where there are save points" in text
    assert "stop-writes-on-bgsave-error" in text
    assert "No effect" not in render(documented("development"), form)


def test_unknown_format_and_profile_are_refused_with_the_nearest():
    """And a task's memory is production's alone."""
    with pytest.raises(UsageError, match="did you mean 'compose'"):
        render(documented("development"), "compos")
    with pytest.raises(UsageError, match="did you mean 'production'"):
        documented("prodution")
    with pytest.raises(UsageError, match="known: development, production"):
        documented("demo")
    with pytest.raises(UsageError, match="has no task"):
        documented("development", task_memory_mib=2048)
    with pytest.raises(UsageError, match="more than any host has"):
        documented("production", task_memory_mib=2 * 1024**3)
    assert len(FORMATS) == 5
