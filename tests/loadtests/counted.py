"""A scenario whose master prints how many reports of its workers told figures, and their size."""

from typing import Any

import msgpack
from locust import events

from loadtests.steady import SteadyUser

__all__ = ["SteadyUser"]

_told: list[int] = []
_reports: list[str] = []


@events.worker_report.add_listener
def _count(client_id: str, data: dict[str, Any], **_: Any) -> None:
    _reports.append(client_id)
    if "workbench-so-far" in data:
        _told.append(len(msgpack.dumps(data["workbench-so-far"])))


@events.quitting.add_listener
def _say(**_: Any) -> None:
    if _reports:  # not in a worker
        print(f"{len(_reports)} reports, {len(_told)} told figures, {max(_told, default=0)} bytes")  # noqa: T201
