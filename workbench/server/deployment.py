"""What a compose file or an ECS definition says of its Redis: memory and health check."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import UsageError, nearest
from workbench.units import MIB, parse_bytes

__all__ = ["Deployment", "read_deployment"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    The container that Redis runs in.

    Attributes:
        name: of the service or container.
        memory_limit_bytes: its hard limit, else the task's memory, B; None if there is none.
        health_check: its command in one line; empty if there is none.
    """

    name: str
    memory_limit_bytes: int | None
    health_check: str


def read_deployment(path: Path, service: str = "") -> Deployment:
    """
    The Redis of a deployment.

    Args:
        path: a docker-compose.yml, or the JSON of an ECS task or container definition.
        service: which one, if several run a Redis.

    Raises:
        UsageError: the file cannot be read, is neither of these, or holds no Redis, or several.
    """
    try:
        text = path.read_text()
        # JSON is YAML, but its errors are told better by its own parser.
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is neither YAML nor JSON: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("services"), dict):
        return _of_compose(_chosen(path, found["services"], service))
    containers = found.get("containerDefinitions", found) if isinstance(found, dict) else found
    if isinstance(containers, dict):
        containers = [containers]
    if not isinstance(containers, list) or not all(
        isinstance(each, dict) and "name" in each for each in containers
    ):
        raise UsageError(
            f"{path} is neither a compose file (it has no services) nor an ECS definition (it has "
            "no containerDefinitions)"
        )
    name, container = _chosen(path, {str(each["name"]): each for each in containers}, service)
    return _of_ecs(name, container, found if isinstance(found, dict) else {})


def _chosen(path: Path, services: dict[str, Any], wanted: str) -> tuple[str, dict[str, Any]]:
    if wanted:
        if not isinstance(services.get(wanted), dict):
            raise UsageError(f"{path} has no {wanted!r}{nearest(wanted, services)}")
        return wanted, services[wanted]
    servers = [
        name for name, each in services.items() if isinstance(each, dict) and _is_redis(each)
    ]
    if len(servers) != 1:
        several = f"several Redises ({', '.join(servers)})" if servers else "no Redis"
        raise UsageError(f"{path} has {several}; name one of {', '.join(services)} by --service")
    return servers[0], services[servers[0]]


def _is_redis(service: dict[str, Any]) -> bool:
    image = str(service.get("image", "")).rpartition("/")[2].partition(":")[0]
    words = _line(service.get("command", ""))
    return image in {"redis", "valkey"} or "redis-server" in words or "valkey-server" in words


def _of_compose(chosen: tuple[str, dict[str, Any]]) -> Deployment:
    name, service = chosen
    limits = (service.get("deploy") or {}).get("resources", {}).get("limits", {})
    limit = service.get("mem_limit") or limits.get("memory")
    check = service.get("healthcheck") or {}
    off = check.get("disable") or check.get("test") in (["NONE"], "NONE")
    return Deployment(name, _bytes(limit), "" if off else _line(check.get("test", "")))


def _of_ecs(name: str, container: dict[str, Any], task: dict[str, Any]) -> Deployment:
    mib = container.get("memory") or task.get("memory")
    check = container.get("healthCheck") or {}
    command = check.get("command", check.get("Command", ""))
    return Deployment(name, int(mib) * MIB if mib else None, _line(command))


def _line(words: Any) -> str:
    if isinstance(words, list):
        return " ".join(str(word) for word in words if word not in ("CMD", "CMD-SHELL"))
    return str(words or "")


def _bytes(text: Any) -> int | None:
    if text is None:
        return None
    if isinstance(text, int):
        return text
    return parse_bytes(str(text).lower().removesuffix("b") + "b")
