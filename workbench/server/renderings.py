"""
The documented settings, as a server, a shell, Compose, ECS or Terraform would be given them.

Each is exactly what the documents say, in their order. Where a documented setting does nothing, or
costs something, a comment says so if the format has comments. Nothing is started here.
"""

import json
import shlex
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Final

from workbench.errors import UsageError, nearest
from workbench.server.profiles import TASK_MEMORY_MIB, ServerProfile, profile
from workbench.server.settings import dead_settings
from workbench.units import MIB

__all__ = [
    "DOCUMENTED",
    "FORMATS",
    "HEALTH_TEST",
    "IMAGE",
    "SHARE_OF_TASK",
    "Documented",
    "documented",
    "render",
]

IMAGE: Final = "redis:7.0-alpine"
SERVICE: Final = "redis-state"
SHARE_OF_TASK: Final = 0.35
HEALTH_TEST: Final = ("CMD", "redis-cli", "-e", "ping")
"""The documented ``redis-cli ping`` exits 0 whatever the reply; with -e it exits 1 on an error."""

_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "development": (*("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"),),
    "production": (
        *("appendonly", "appendfsync", "auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size"),
        *("maxmemory-policy", "maxmemory", "save", "stop-writes-on-bgsave-error"),
    ),
}
"""The flags of each environment, in the order in which the documents give them."""

DOCUMENTED: Final = tuple(_FLAGS)
"""The environments that are documented."""

_TASK_MEMORY_MIB_MAX: Final = 32 * MIB  # 32 TiB
_CAP: Final = "${floor(var.task_memory * 0.35 * 0.95)}mb"


@dataclass(frozen=True, slots=True)
class Documented:
    """
    One documented environment.

    Attributes:
        profile: its settings.
        task_memory_mib: of the ECS task, MiB; None for development, which has no task.
    """

    profile: ServerProfile
    task_memory_mib: int | None

    @property
    def settings(self) -> dict[str, str]:
        """The documented settings, in the documents' order and spelling; no quotes."""
        values = {name: value.strip('"') for name, value in self.profile.directives().items()}
        for name in ("maxmemory", "auto-aof-rewrite-min-size"):
            values[name] = f"{int(values[name]) // MIB}mb"
        return {name: values[name] for name in _FLAGS[self.profile.name]}

    @property
    def container_mib(self) -> int | None:
        """The container's limit, MiB: Redis's share of the task. None where there is no task."""
        return None if self.task_memory_mib is None else floor(self.task_memory_mib * SHARE_OF_TASK)

    @property
    def command(self) -> list[str]:
        """The words that start it."""
        flags = (word for name, value in self.settings.items() for word in (f"--{name}", value))
        return ["redis-server", *flags]

    def remarks(self) -> dict[str, str]:
        """Of the settings that do nothing, or cost something, what there is to say."""
        values = {name: value.strip('"') for name, value in self.profile.directives().items()}
        said = {
            "maxmemory-policy": "At the cap a conversation that still goes on may be evicted; "
            "nobody is told.",
            "appendonly": "Kept in /data: a container that is replaced begins empty, unless that "
            "is a volume that outlives it.",
        }
        if self.container_mib is not None:
            cap_mib = self.profile.maxmemory_bytes // MIB
            said["maxmemory"] = (
                f"95 % of Redis's 35 % of the task: of {self.task_memory_mib} MiB this leaves "
                f"{self.container_mib - cap_mib} beside the cap, for fragmentation, buffers and "
                "what a fork copies."
            )
        dead = {each.name: each.says for each in dead_settings(values)}
        said |= {name: f"No effect: {says}." for name, says in dead.items()}
        return {name: said[name] for name in self.settings if name in said}


def documented(name: str, *, task_memory_mib: int | None = None) -> Documented:
    """
    A documented environment by name.

    Args:
        name: ``development`` or ``production``.
        task_memory_mib: memory of the ECS task, MiB; 2048 if None. For ``production`` alone.

    Raises:
        UsageError: there is no such environment, or it has no task.
    """
    if name not in DOCUMENTED:
        raise UsageError(f"there is no documented profile {name!r}{nearest(name, DOCUMENTED)}")
    if task_memory_mib is not None and task_memory_mib > _TASK_MEMORY_MIB_MAX:
        raise UsageError(
            f"a task memory of {task_memory_mib} MiB is more than any host has; without a unit it "
            "is MiB, such as 2048"
        )
    chosen = profile(name, task_memory_mib=task_memory_mib)
    memory_mib = (task_memory_mib or TASK_MEMORY_MIB) if name == "production" else None
    return Documented(chosen, memory_mib)


def render(environment: Documented, form: str) -> str:
    """
    The environment in one of FORMATS.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}{nearest(form, FORMATS)}")
    return FORMATS[form](environment)


def _conf(environment: Documented) -> str:
    lines = [f"# {_title(environment)}"]
    remarks = environment.remarks()
    for name, value in environment.settings.items():
        lines += [f"# {line}" for line in _folded(remarks.get(name, ""))]
        lines.append(f"{name} {_quoted(value)}")
    return "\n".join(lines) + "\n"


def _argv(environment: Documented) -> str:
    return f"{shlex.join(environment.command)}\n"


def _compose(environment: Documented) -> str:
    said = [
        f"    # {line}"
        for name, text in environment.remarks().items()
        for line in _folded(f"{name}: {text}", width=90)
    ]
    flags = [f"      --{name} {_quoted(value)}" for name, value in environment.settings.items()]
    limit = environment.container_mib
    return "\n".join(
        [
            f"# {_title(environment)}",
            "services:",
            f"  {SERVICE}:",
            f"    image: {IMAGE}",
            *said,
            "    command: >",
            "      redis-server",
            *flags,
            *([] if limit is None else [f"    mem_limit: {limit}m  # Redis's 35 % of the task"]),
            "    healthcheck:",
            "      # The documented `redis-cli ping` exits 0 whatever the reply, so also while",
            "      # every write is refused (MISCONF) or the AOF is read (LOADING). -e exits 1.",
            f"      test: {json.dumps(HEALTH_TEST)}",
            "      interval: 5s",
            "      timeout: 3s",
            "      retries: 3",
            "",
        ]
    )


def _container(environment: Documented) -> dict[str, Any]:
    limit = environment.container_mib
    return {
        "name": SERVICE,
        "image": IMAGE,
        "essential": True,
        **({} if limit is None else {"memory": limit}),
        "command": environment.command,
        "healthCheck": {"command": list(HEALTH_TEST), "interval": 5, "timeout": 3, "retries": 3},
        # On Fargate only net.*, some kernel.* of IPC and fs.mqueue.* are taken; the documents name
        # none. vm.overcommit_memory, which Redis asks for, is the host's.
        "systemControls": [],
    }


def _ecs(environment: Documented) -> str:
    return json.dumps(_container(environment), indent=2) + "\n"


def _terraform(environment: Documented) -> str:
    container = _container(environment)
    remarks = environment.remarks()
    production = environment.task_memory_mib is not None
    flags = []
    for name, value in environment.settings.items():
        given = _CAP if production and name == "maxmemory" else value
        flags += [f"        # {line}" for line in _folded(remarks.get(name, ""), width=84)]
        flags.append(f'        "--{name}", {json.dumps(given)},')
    default = environment.task_memory_mib
    health = container["healthCheck"]
    return "\n".join(
        [
            f"# {_title(environment)}",
            'variable "task_memory" {',
            '  description = "Memory of the task, MiB."',
            "  type        = number",
            *([] if default is None else [f"  default     = {default}"]),
            "}",
            "",
            'variable "task_cpu" {',
            '  description = "CPU units of the task; the documents name none."',
            "  type        = number",
            "}",
            "",
            'resource "aws_ecs_task_definition" "redis_state" {',
            f'  family                   = "{SERVICE}"',
            '  requires_compatibilities = ["FARGATE"]',
            '  network_mode             = "awsvpc"',
            "  cpu                      = var.task_cpu",
            "  memory                   = var.task_memory",
            "",
            "  container_definitions = jsonencode([",
            "    {",
            f"      name      = {json.dumps(container['name'])}",
            f"      image     = {json.dumps(container['image'])}",
            "      essential = true",
            *(["      memory    = floor(var.task_memory * 0.35)"] if production else []),
            "      command = [",
            '        "redis-server",',
            *flags,
            "      ]",
            "      # The documented `redis-cli ping` exits 0 whatever the reply, so also while",
            "      # every write is refused (MISCONF) or the AOF is read (LOADING). -e exits 1.",
            "      healthCheck = {",
            f"        command  = {json.dumps(health['command'])}",
            f"        interval = {health['interval']}",
            f"        timeout  = {health['timeout']}",
            f"        retries  = {health['retries']}",
            "      }",
            "      # Fargate takes net.*, some kernel.* of IPC and fs.mqueue.* here. Redis asks",
            "      # for vm.overcommit_memory = 1, which is the host's: on EC2 it is set there,",
            "      # on Fargate it cannot be.",
            "      systemControls = []",
            "    }",
            "  ])",
            "}",
            "",
        ]
    )


FORMATS: Final[Mapping[str, Callable[[Documented], str]]] = {
    "conf": _conf,
    "argv": _argv,
    "compose": _compose,
    "ecs": _ecs,
    "terraform": _terraform,
}
"""What an environment can be rendered as."""


def _title(environment: Documented) -> str:
    if environment.task_memory_mib is None:
        return "The documented development server."
    return f"The documented production server, in an ECS task of {environment.task_memory_mib} MiB."


def _quoted(value: str) -> str:
    return value if value and " " not in value else f'"{value}"'


def _folded(text: str, *, width: int = 96) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)
