"""run_experiment: an experiment in a notebook, with its progress and a dashboard of its server."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import ipywidgets as widgets

from workbench.checkout import runs_dir
from workbench.errors import RunError
from workbench.experiments.runner import carry_out
from workbench.experiments.spec import Experiment
from workbench.live.dashboard import Dashboard
from workbench.live.face import widgets_shown
from workbench.runs.run import Run
from workbench.server.process import PrivateServer
from workbench.units import format_duration

__all__ = ["run_experiment"]

_TICK_S: Final = 1.0


def run_experiment(
    experiment: Experiment,
    *,
    out: Path | None = None,
    url: str | None = None,
    i_own: str = "",
    engine: str | None = None,
    dashboard: bool = True,
) -> Path:
    """
    Run an experiment and seal it, showing how far it is and what its server does meanwhile.

    Interrupt the kernel to end it: the run is sealed as interrupted, and nothing is left running.

    Args:
        experiment: what is to be tried.
        out: the folder in which the run directory is made; where runs are kept if None.
        url: a server to load instead of a private one; it must pass the guard.
        i_own: its ``host:port``, from somebody who answers for it; see ``server.guard``.
        engine: which one to start, ``redis`` or ``valkey``; whatever is found if None.
        dashboard: whether the server is shown while it is loaded.

    Returns:
        the run directory, sealed; which errors are raised, ``carry_out`` says.
    """
    with _Progress(experiment, watched=dashboard) as progress:
        run_dir = carry_out(
            experiment,
            out or runs_dir(),
            url=url,
            i_own=i_own,
            engine=engine,
            say=print,
            progress=progress.tell,
            begun=progress.begin,
        )
        progress.finish(run_dir)
    return run_dir


class _Progress:
    """
    A bar with the phase and the time, and below it the dashboard; without widgets lines of text.

    Args:
        experiment: how long it takes is known but for the prefill.
        watched: whether there is a dashboard.
    """

    def __init__(self, experiment: Experiment, *, watched: bool) -> None:
        self._experiment = experiment
        self._watched = watched
        self._dashboard: Dashboard | None = None
        self._run_dir: Path | None = None
        self._began_s = time.time()
        self._origin_s: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name="workbench-progress", daemon=True)
        self._bar: widgets.FloatProgress | None = None
        if widgets_shown():
            wide = widgets.Layout(width="auto", flex="1 1 200px", max_width="480px")
            due_s = experiment.warm_up_s + experiment.measure_s
            self._bar = widgets.FloatProgress(max=due_s, layout=wide)
            self._label = widgets.Label("starting")

    def __enter__(self) -> Self:
        if self._bar is not None:
            from IPython.display import display

            wrap = widgets.Layout(flex_flow="row wrap", align_items="center")
            display(  # type: ignore[no-untyped-call]
                widgets.HBox([self._bar, self._label], layout=wrap)
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._thread.join()
            if kind is not None:
                self._bar.bar_style = "danger"
                self._label.value = "it broke off"
        if self._dashboard is not None:
            self._dashboard.close()

    def begin(self, run_dir: Path, server: PrivateServer | None) -> None:
        """The server is up, and the load about to start."""
        self._run_dir = run_dir
        if self._watched:
            from IPython.display import display

            self._dashboard = Dashboard(run_dir, server=server)
            display(self._dashboard)  # type: ignore[no-untyped-call]

    def tell(self, text: str) -> None:
        """What the conductor has to say; only where there is no bar."""
        if self._bar is None:
            print(text)  # noqa: T201

    def finish(self, run_dir: Path) -> None:
        """The run is sealed."""
        self._ended.set()
        status = Run(run_dir).manifest.status
        took = format_duration(time.time() - self._began_s)
        if self._bar is None:
            print(f"{run_dir.name}: {status}, after {took}")  # noqa: T201
            return
        self._thread.join()
        self._bar.value = self._bar.max if status in {"complete", "invalid"} else self._bar.value
        self._bar.bar_style = "success" if status == "complete" else "warning"
        self._label.value = f"{status}, after {took}: {run_dir.name}"

    def _go(self) -> None:
        while not self._ended.wait(_TICK_S):
            phase, done_s = self._phase()
            assert self._bar is not None, "it is what this thread is for"
            self._bar.value = done_s
            due_s = self._bar.max
            done = f" {min(done_s, due_s):.0f} of {due_s:.0f} s" if done_s else ""
            elapsed = format_duration(round(time.time() - self._began_s))
            self._label.value = f"{phase}{done}; {elapsed} since the start"

    def _phase(self) -> tuple[str, float]:
        """Which phase it is, and how long the load's clock has run, s."""
        if self._run_dir is None:
            return "starting the server", 0.0
        if self._origin_s is None:
            with suppress(RunError):
                events = Run(self._run_dir).events
                origins = events["unix_s"][events["label"] == "origin"]
                self._origin_s = None if origins.empty else float(origins.iloc[0])
        if self._origin_s is None:
            return "prefill", 0.0
        done_s = max(0.0, time.time() - self._origin_s)
        warm_up_s = self._experiment.warm_up_s
        if done_s < warm_up_s:
            return "warm-up", done_s
        if done_s < warm_up_s + self._experiment.measure_s:
            return "measure", done_s
        return "sealing", done_s
