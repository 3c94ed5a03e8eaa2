"""The steady scenario; each process writes down at its end what it counted."""

import json
import os
from pathlib import Path

from locust import events
from locust.runners import MasterRunner

from loadtests.steady import SteadyUser

__all__ = ["SteadyUser"]

_responses_us: list[float] = []


@events.request.add_listener
def _count(response_time, **_):
    _responses_us.append(1e3 * response_time)


@events.quitting.add_listener
def _dump(environment, **_):
    master = isinstance(environment.runner, MasterRunner)
    counted = environment.workbench_crew if master else environment.workbench_load
    name = "master" if master else f"worker-{os.getpid()}"
    told = {"tally": counted.tally.as_message(), "responses_us": _responses_us}
    (Path(os.environ["DUMP_INTO"]) / f"{name}.json").write_text(json.dumps(told))
