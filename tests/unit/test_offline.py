"""Reading a run needs no server, no load tool and no other program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from workbench.diagnostics.finding import evaluate
from workbench.plots.evictions import figure_eviction, figure_loss_by_pause

BLOCKED = """
import json, subprocess, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"redis", "hiredis", "locust", "gevent"}:
            raise ImportError(f"{name} is blocked")

class NoProgram(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        raise PermissionError(f"no program is started here: {args}")

sys.meta_path.insert(0, Blocked())
subprocess.Popen = NoProgram

import msgspec
from workbench.diagnostics.finding import evaluate
from workbench.plots.evictions import figure_eviction, figure_loss_by_pause
from workbench.runs.run import open_run

run = open_run(sys.argv[1])
print(json.dumps({
    "findings": msgspec.to_builtins(list(evaluate(run))),
    "svgs": [figure_eviction(run).svg(), figure_loss_by_pause(run).svg()],
}))
"""


def test_findings_and_charts_are_the_same_without_redis_locust_and_programs(tiny_run, tmp_path):
    """What was recorded can be judged tomorrow, on a laptop."""
    kept = {name: os.environ[name] for name in ("HOME", "MPLCONFIGDIR") if name in os.environ}
    root = Path(__file__).parents[2]

    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, tiny_run.path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**kept, "PATH": "", "PYTHONPATH": str(root)},
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "findings": msgspec.to_builtins(list(evaluate(tiny_run))),
        "svgs": [figure_eviction(tiny_run).svg(), figure_loss_by_pause(tiny_run).svg()],
    }
