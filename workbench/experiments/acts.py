"""Acts: the faults of an experiment, each begun and ended in its time, and put on record."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from workbench.experiments.spec import Experiment
from workbench.runs.clock import Clock
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import UNANSWERED
from workbench.server.faults.model import FAULTS
from workbench.server.process import PrivateServer

__all__ = ["Acts"]

_ORIGIN: Final = "origin"


class Acts:
    """
    Does to a server of ours what an experiment plans.

    Args:
        experiment: whose faults they are; none is fine.
        server: ours.
        run_dir: where the load says when it began, and where the faults are put on record.
        clock: the run's.
        stack: what is left unfinished ends with it.
    """

    def __init__(
        self,
        experiment: Experiment,
        server: PrivateServer | None,
        run_dir: Path,
        clock: Clock,
        stack: ExitStack,
    ) -> None:
        self._left = list(experiment.faults)
        self._warm_up_s = experiment.warm_up_s
        self._server = server
        self._run_dir = run_dir
        self._clock = clock
        self._seen: set[Path] = set()
        self._measure_unix_s: float | None = None
        self._began_unix_s = 0.0
        self._events = TableWriter(run_dir, "events", "faults") if self._left else None
        stack.callback(self._end)
        self._going_on = stack.enter_context(ExitStack())

    def look(self) -> None:
        """Begin what is due, and end what is over."""
        if not self._left or self._server is None or not self._measuring():
            return
        planned = self._left[0]
        since_s = self._clock.unix_s() - (self._measure_unix_s or 0.0)
        if not self._began_unix_s and since_s >= planned.at_s:
            self._began_unix_s = self._clock.unix_s()
            self._going_on.enter_context(FAULTS[planned.fault].done(self._server))
        if self._began_unix_s and since_s >= planned.at_s + planned.lasts_s:
            self._going_on.close()
            self._end()
            self._left.pop(0)

    @property
    def unanswered(self) -> bool:
        """Whether the server answers nobody now, on purpose."""
        return bool(self._began_unix_s) and FAULTS[self._left[0].fault].unanswered

    def _measuring(self) -> bool:
        """Whether the load has said when it began."""
        for part in set((self._run_dir / "events").glob("part-worker0-*")) - self._seen:
            self._seen.add(part)
            rows = pq.read_table(part, columns=["unix_s", "label"]).to_pylist()
            for row in rows:
                if row["label"] == _ORIGIN:
                    self._measure_unix_s = row["unix_s"] + self._warm_up_s
        return self._measure_unix_s is not None

    def _end(self) -> None:
        """Put on record what has just ended, in its time or cut short; nothing if nothing did."""
        if not self._began_unix_s or self._events is None:
            return
        fault = FAULTS[self._left[0].fault]
        lasted_s = self._clock.unix_s() - self._began_unix_s
        detail = UNANSWERED if fault.unanswered else ""
        self._events.append((self._began_unix_s, lasted_s, "fault", fault.name, detail))
        self._events.flush()
        self._began_unix_s = 0.0
