"""
What it takes to read a run: time and memory of check, report and comparison, on drawn runs.

Nothing here needs the private server: the runs are drawn, and each command is a process of its own,
whose tree is measured. Processor time is what a busy machine changes least, so it is told beside
the time on the clock.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workbench.benches.figure import BENCHES, Bench, Figure, Report, count, not_measured
from workbench.benches.made_runs import made_run
from workbench.checkout import notebooks_dir
from workbench.server.process import die_with_parent
from workbench.units import MIB

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = ["Used", "measure", "used_by"]

_TURNS: Final = 10_000_000
_TURNS_QUICK: Final = 300_000
_RUNS: Final = 10
_MANY: Final = 100_000_000
_COMPARISON: Final = "90-compare-runs"
_POLL_S: Final = 0.05
_END_S: Final = 3600.0
_WAITING_MAX: Final = 1.5


@dataclass(frozen=True, slots=True)
class Used:
    """
    What a command took, all its processes together.

    Attributes:
        wall_s: on the clock.
        cpu_s: of processors.
        peak_bytes: memory, as proportional shares, at its highest.
        waiting: processes that ran or waited for it, a core; of an idle machine about one.
        failed: how it ended, if it did not end as it should; else empty.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    waiting: float
    failed: str = ""


def measure(
    server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """
    Measure on runs that are drawn in a temporary folder.

    Args:
        server: not asked for anything.
        quick: a small run, and memory alone has bounds.
        say: told what is measured next.
    """
    del server
    turns = _TURNS_QUICK if quick else _TURNS
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as name:
        folder = Path(name)
        runs = [folder / "runs" / f"made-{number}" for number in range(2 if quick else _RUNS)]
        say(f"drawing {len(runs)} runs of {turns:,} turns")
        begun_s = time.monotonic()
        _draw(runs, turns)
        drawn_s = (time.monotonic() - begun_s) / len(runs)
        disk_bytes = sum(path.stat().st_size for path in runs[0].rglob("part-*"))
        figures += [
            count("draw_s", f"to draw a run of {turns:,} turns", drawn_s, n=len(runs), unit="s"),
            count(
                "disk_bytes_per_turn",
                "on disk, with the ledger and the last look at each conversation",
                disk_bytes / turns,
                n=turns,
                unit="B",
            ),
        ]
        half = len(runs) // 2
        for command, title, words, bounds in (
            ("check", "check", ["check", str(runs[0])], (None, "<=2048")),
            ("report", "report, with its notebooks", ["report", str(runs[0])], ("<=60", "<=2048")),
            (
                "compare",
                f"{_COMPARISON} of {len(runs)} such runs",
                [
                    *("report", *map(str, runs[half:]), "--notebook", _COMPARISON),
                    *("-p", f"baseline={','.join(map(str, runs[:half]))}", "-p", "varied=seed"),
                ],
                ("<=120", "<=4096"),
            ),
        ):
            if command == "compare" and not (notebooks_dir() / f"{_COMPARISON}.ipynb").exists():
                why = f"there is no notebook {_COMPARISON}"
                figures.append(not_measured("compare_s", title, why, "s"))
                continue
            say(title)
            within_s, within_mib = bounds
            used = used_by(words, folder)
            figures += _figures(
                command, title, used, turns, within_s=None if quick else within_s, mib=within_mib
            )
        for run in runs:
            shutil.rmtree(run)
        if not quick:
            say(f"drawing a run of {_MANY:,} turns")
            _draw(runs[:1], _MANY)
            say(f"check of {_MANY:,} turns")
            used = used_by(["check", str(runs[0])], folder)
            title = f"check of {_MANY:,} turns"
            figures += _figures("check_many", title, used, _MANY, within_s=None, mib="<=4096")
    return Report("analysis", False, figures, "no server")


def _draw(runs: Sequence[Path], turns: int) -> None:
    """Several at once, each with a seed of its own."""
    with ProcessPoolExecutor(min(len(runs), os.cpu_count() or 1)) as pool:
        each = [pool.submit(_drawn, run, turns=turns, seed=seed) for seed, run in enumerate(runs)]
        for one in each:
            one.result()


def _drawn(run: Path, *, turns: int, seed: int) -> None:
    made_run(run, turns=turns, seed=seed)


def used_by(words: Sequence[str], folder: Path) -> Used:
    """
    What a command of the workbench took, with all the processes that it started.

    Args:
        words: of the command line.
        folder: where its runs and temporary files are.
    """
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {"WORKBENCH_RUNS": str(folder / "runs"), "TMPDIR": str(folder / "tmp")}
    begun_s, before = time.monotonic(), os.times()
    peak_bytes, waiting = 0, 0.0
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", "from workbench.cli import main; main()", *words],
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
        try:
            while process.poll() is None and time.monotonic() < begun_s + _END_S:
                peak_bytes = max(peak_bytes, sum(map(_bytes, _tree(process.pid))))
                waiting = max(waiting, os.getloadavg()[0] / (os.cpu_count() or 1))
                time.sleep(_POLL_S)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        # 1 and 3 are verdicts on what was drawn.
        failed = "" if process.returncode in {0, 1, 3} else said.read()[-1000:] or "it was killed"
    after = os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return Used(time.monotonic() - begun_s, cpu_s, peak_bytes, waiting, failed)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # it may end meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _bytes(pid: int) -> int:
    """Memory of a process, what it shares with others in parts."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def _figures(
    name: str, title: str, used: Used, turns: int, *, within_s: str | None, mib: str | None
) -> Iterator[Figure]:
    if used.failed:
        lost = not_measured(f"{name}_s", title, f"it failed: {used.failed.strip()}", "s")
        yield replace(lost, must=within_s or mib, holds=False)
        return
    wall = count(f"{name}_s", title, used.wall_s, n=turns, unit="s", must=within_s)
    if wall.holds is False and used.waiting > _WAITING_MAX:
        # A machine that does other work says nothing of ours.
        why = f"{used.waiting:.1f} processes a core wanted to run: the machine was busy"
        wall = replace(wall, holds=None, why=why)
    yield wall
    yield count(f"{name}_cpu_s", "of that, processor time", used.cpu_s, n=turns, unit="s")
    yield count(
        f"{name}_mib",
        "and memory at its highest, all processes together",
        used.peak_bytes / MIB,
        n=turns,
        unit="MiB",
        must=mib,
    )


BENCHES.add("analysis", Bench(measure, takes="about half an hour, and 5 GB of disk"))
