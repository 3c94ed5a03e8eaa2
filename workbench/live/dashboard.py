"""Dashboard: a server, or a run that goes on, redrawn once a second in a notebook."""

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakValueDictionary

from workbench.checkout import runs_dir
from workbench.diagnostics.finding import evaluate, sentence
from workbench.errors import ServerNotReadyError, UsageError, WorkbenchError
from workbench.experiments.runner import keep
from workbench.experiments.watching import WINDOW_S, Scene, Watcher
from workbench.live.face import (
    Face,
    findings_html,
    line_html,
    picture_html,
    widgets_shown,
)
from workbench.live.hands import Hands
from workbench.plots.evictions import figure_eviction
from workbench.plots.live import figure_live
from workbench.plots.style import Chart
from workbench.runs.live import LiveRun, Turns
from workbench.runs.lock import is_held
from workbench.runs.manifest import read_manifest
from workbench.runs.run import Run, find_run, open_run
from workbench.runs.snapshot import Snapshot
from workbench.server.process import PrivateServer
from workbench.state import redact
from workbench.telemetry.board import clock, head, line
from workbench.units import format_duration

if TYPE_CHECKING:
    from IPython.core.display_functions import DisplayHandle

__all__ = ["Dashboard"]

_KEPT_MAX: Final = 3600
_FIRST_S: Final = 5.0
_JOIN_S: Final = 10.0
_NICENESS: Final = 10
_DURING_A_RUN: Final = (
    "an experiment is going on at it, and what is done by hand would not be in its record: give "
    "the experiment faults instead"
)
_OPEN: WeakValueDictionary[str, "Dashboard"] = WeakValueDictionary()


class Dashboard:
    """
    Look at a server once a second, read-only, and draw the charts of the reports anew each time.

    It looks from its making until ``stop`` or ``close``, in a thread of this process, so that
    nothing is left when the process ends. A second dashboard of the same server closes the first.

    Args:
        what: the URL of a server; a private server; or a run that goes on or is sealed, as a
            ``Run``, its directory, or its name.
        interval_s: from one look to the next, s.
        i_own: ``host:port`` of the server, from somebody who answers for it; see ``server.guard``.
        server: of the run, if this process started it.

    Attributes:
        redraw_s: how long each of the last looks took, with its drawing, s.

    Raises:
        UsageError: it is none of these, or the interval makes no sense. Whatever else is wrong is
            said in the dashboard, with what to do.
    """

    def __init__(
        self,
        what: str | Path | Run | PrivateServer,
        *,
        interval_s: float = 1.0,
        i_own: str = "",
        server: PrivateServer | None = None,
    ) -> None:
        if not 0.2 <= interval_s <= 60:
            raise UsageError(f"interval_s is {interval_s:g}, outside 0.2 to 60 s")
        self._interval_s = interval_s
        self._server = what if isinstance(what, PrivateServer) else server
        self._url, self._run_dir = _where(what)
        self._lost = ""
        self._objection = "it is not known yet whose server it is"
        self._answered = False
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._turns: Turns | None = None
        self._began_s = time.time()
        self._samples: deque[dict[str, Any]] = deque(maxlen=_KEPT_MAX)
        self._first: Snapshot | None = None
        self._last: Snapshot | None = None
        self._sealed: Run | None = None
        self._chart: Chart | None = None
        self._undrawn: LiveRun | None = None
        self._head = self._findings = self._text = ""
        self._closed = False
        self._displayed: DisplayHandle | None = None
        self.redraw_s: deque[float] = deque(maxlen=60)
        if self._run_dir is not None:
            try:
                self._find(self._run_dir)
            except WorkbenchError as error:
                self._lost = str(error)
        self._hands = Hands(
            self._url,
            server=self._server,
            i_own=i_own,
            forbidden=_DURING_A_RUN if self._run_dir and self._server is None else "",
        )
        self._face = self._widgets() if widgets_shown() else None
        self._take_over()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether it looks."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive and not self._ended.is_set()

    def start(self) -> None:
        """Look from now on; what was seen before a stop is kept."""
        with self._lock:
            if self._lost:
                self._show(trouble=self._lost)
            elif self._sealed:
                self._push(self._chart)
            if self._closed or self._sealed or self._lost or self.running:
                self._allow()
                return
            self._ended.clear()
            self._thread = threading.Thread(target=self._go, name="workbench-live", daemon=True)
            self._thread.start()
            self._allow()

    def stop(self) -> None:
        """Look no more; a squeezed maxmemory is put back."""
        self._ended.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        with self._lock:
            self._tell(self._hands.release)
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None
            self._allow()

    def rewrite(self) -> str:
        """
        Have the server write its AOF anew: BGREWRITEAOF.

        Raises:
            TargetRefusedError: it is not a server of ours.
            ServerNotReadyError: it does not answer, or refuses.
        """
        with self._lock:
            return self._hands.rewrite()

    def squeeze(self) -> str:
        """
        Lower maxmemory until ``release``, ``stop`` or ``close``, so that keys are evicted.

        Raises:
            TargetRefusedError: it is not a server of ours.
            RunError: another dashboard squeezes it.
            ServerNotReadyError: it does not answer, or refuses.
        """
        with self._lock:
            told = self._hands.squeeze()
            self._allow()
            return told

    def release(self) -> str:
        """Put back what a squeeze changed."""
        with self._lock:
            told = self._hands.release()
            self._allow()
            return told

    def keep(self, out: Path | None = None) -> Path:
        """
        Write what was seen since the start as a sealed run, at most the last 3,600 looks.

        Args:
            out: the folder in which the run directory is made; where runs are kept if None.

        Raises:
            UsageError: too little was seen, or the directory cannot be made.
        """
        with self._lock:
            samples = list(self._samples)
            ends = [each for each in (self._first, self._last) if each is not None]
            if self._sealed:
                raise UsageError(f"it is a run already: {self._sealed.path}")
        return keep(
            self._url,
            out or runs_dir(),
            samples=samples,
            snapshots=ends if self._first is not self._last else ends[:1],
            interval_s=self._interval_s,
        )

    def close(self, why: str = "") -> None:
        """Stop for good. The last picture stays where the dashboard was shown."""
        if self._closed:
            return
        self.stop()
        self._closed = True
        if self._run_dir is not None and self._sealed is None:
            with suppress(WorkbenchError):
                status = read_manifest(self._run_dir).status
                self._text = f"{self._run_dir.name}: {status}"
                self._head = line_html(self._text, strong=True)
        self._head += line_html(why)
        self._redisplay()
        if self._face is not None:
            self._face.close()

    def __repr__(self) -> str:
        return redact(self._text) or f"Dashboard of {redact(self._url)}: not looked yet"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = self._static()
        if self._face is not None and not self._closed:
            bundle |= self._face.root._repr_mimebundle_() or {}
        return bundle, metadata

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.running:  # so that there is a picture, also for whoever has no widgets
            self._looked.wait(_FIRST_S)
        bundle, metadata = self._repr_mimebundle_()
        self._displayed = display(  # type: ignore[no-untyped-call]
            bundle, metadata=metadata, raw=True, display_id=True
        )

    def _static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self._chart = self._drawn() or self._chart
        alt = "" if self._chart is None else f"{self._chart.title}. {self._chart.reading}"
        page = picture_html(self._head, self._chart, self._findings)
        said = {"text/html": page, "text/plain": "\n".join(filter(None, [repr(self), alt]))}
        return said, {"text/html": {"alt": alt}}

    # What it looks at.

    def _find(self, where: Path) -> None:
        self._run_dir = path = find_run(where)
        manifest = read_manifest(path)
        if manifest.status != "running" or not is_held(path):
            self._seal(open_run(path))
            return
        self._url = str(manifest.server.get("url", ""))
        if not self._url:
            raise ServerNotReadyError(f"{path.name} has no server yet: wait a moment")
        self._turns = Turns(path, kept_s=WINDOW_S)
        self._began_s = manifest.started_unix_s

    def _take_over(self) -> None:
        if not self._url:
            return
        with suppress(KeyError):
            _OPEN[self._url].close("Another dashboard of this server was opened.")
        _OPEN[self._url] = self

    # Looking, in the thread.

    def _go(self) -> None:
        due_s = time.monotonic()
        _give_way()
        try:
            with self._lock:
                self._tell(self._hands.recover)
                self._allow(ask=True)
            while not self._ended.is_set():
                began_s = time.monotonic()
                self._tick()
                self.redraw_s.append(time.monotonic() - began_s)
                self._looked.set()
                due_s = max(due_s + self._interval_s, time.monotonic())
                self._ended.wait(due_s - time.monotonic())
        except Exception as error:
            self._show(trouble=f"the dashboard broke off: {type(error).__name__}; press Start")
            raise
        finally:
            self._looked.set()

    def _tick(self) -> None:
        try:
            if self._run_dir and self._finished(self._run_dir):
                return
            if self._watcher is None:
                self._watcher = Watcher(self._url, interval_s=self._interval_s)
        except UsageError as error:
            self._show(trouble=str(error))
            self._lost = str(error)
            self._ended.set()
            return
        except WorkbenchError as error:
            self._show(trouble=f"{error}\n{self._advice(str(error))}")
            return
        scene = self._watcher.look()
        if scene.board.answered:
            self._keep(self._watcher)
        if scene.board.restarted or scene.board.answered != self._answered:
            with self._lock:
                self._allow(ask=True)
        self._answered = scene.board.answered
        self._draw(scene, self._watcher)

    def _finished(self, run_dir: Path) -> bool:
        """Whether the run that went on has ended; then it is shown as it was sealed."""
        if read_manifest(run_dir).status == "running" and is_held(run_dir):
            return False
        try:
            self._seal(open_run(run_dir))
        except WorkbenchError as error:
            self._lost = str(error)
            raise
        finally:
            self._ended.set()
        self._push(self._chart)
        return True

    def _keep(self, watcher: Watcher) -> None:
        with self._lock:
            self._samples.append(watcher.samples[-1])
            if watcher.snapshots:
                self._first = self._first or watcher.snapshots[0]
                self._last = watcher.snapshots[-1]

    # Showing.

    def _draw(self, scene: Scene, watcher: Watcher) -> None:
        board = scene.board
        run = watcher.run(begun_unix_s=self._began_s)
        if run is not None and board.answered:
            self._undrawn = run
        # Where nobody looks on, the last picture is enough.
        chart = self._drawn() if self._face is not None or self._chart is None else None
        self._findings = findings_html(scene.standing, _judged(scene))
        grave = [each for each in scene.standing if each.finding.severity != "info"]
        says = [f"{each.finding.rule}: {sentence(each.finding.says)}" for each in grave]
        self._text = "\n".join([f"{redact(self._url)}  {line(board)}", *says])
        trouble = ""
        if not board.answered:
            trouble = f"{sentence(head(board).rstrip('.'))} {self._advice(board.error)}"
        elif board.restarted:
            trouble = "Another process answers: the server was restarted, and its counters with it."
        self._show(
            chart=chart,
            title=f"{head(board) if board.answered else board.server or 'a server'}, at "
            f"{redact(self._url)}, {clock(board.unix_s)} UTC",
            trouble=trouble,
        )

    def _drawn(self) -> Chart | None:
        """The picture of the last look; None if it was drawn before."""
        with self._lock:
            run, self._undrawn = self._undrawn, None
            if run is None:
                return None
            turns = self._turns.latest(begun_unix_s=self._began_s) if self._turns else None
            return figure_live(run, turns)

    def _show(self, *, trouble: str, chart: Chart | None = None, title: str = "") -> None:
        title = title or f"{redact(self._url or str(self._run_dir))}, {clock(time.time())} UTC"
        self._head = line_html(title, strong=True) + line_html(trouble, grave=True)
        if trouble:
            self._text = trouble
        self._chart = chart or self._chart
        self._push(chart, trouble, title)

    def _push(self, chart: Chart | None, trouble: str = "", title: str = "") -> None:
        if self._face is not None:
            self._face.show(
                chart,
                head=line_html(title, strong=True) if title else self._head,
                trouble=line_html(trouble, grave=True),
                findings=self._findings,
            )
            self._allow()

    def _redisplay(self) -> None:
        bundle, metadata = self._static()
        if self._displayed is not None:
            self._displayed.update(  # type: ignore[no-untyped-call]
                bundle, metadata=metadata, raw=True
            )

    def _seal(self, run: Run) -> None:
        self._sealed = run
        self._undrawn, self._chart = None, figure_eviction(run)
        findings = evaluate(run)
        self._text = f"{run!r}\n{findings!r}"
        self._head = line_html(f"{run.path.name}: {run.manifest.status}", strong=True)
        verdict = f"verdict: {findings.verdict}"
        failing = [each for each in findings if each.verdict == "fail"]
        told = "".join(line_html(f"{each.rule}: {sentence(each.says)}") for each in failing)
        self._findings = line_html(verdict, strong=True) + told

    def _advice(self, error: str) -> str:
        if self._server is not None and not self._server.running:
            return "The server has ended: start another, and a dashboard of it."
        if re.search("NOAUTH|WRONGPASS|NOPERM|auth", error, re.IGNORECASE):
            return (
                "It wants a login: write that into the URL, and give the URL by the environment: "
                'Dashboard(os.environ["REDIS_STATE_URL"]).'
            )
        if self._run_dir is not None:
            return "Its run is ending, or a fault is being done to it."
        return "It is looked for again; start it, or close this and give another URL."

    # Buttons.

    def _widgets(self) -> Face:
        return Face(
            {
                "start": self.start,
                "stop": self.stop,
                "rewrite": lambda: self._tell(self.rewrite),
                "squeeze": lambda: self._tell(
                    self.release if self._hands.squeezed else self.squeeze
                ),
                "keep": lambda: self._tell(self._kept),
            }
        )

    def _kept(self) -> str:
        run_dir = self.keep()
        return f"kept as {run_dir.name}; judge it with: workbench check {run_dir.name}"

    def _tell(self, act: Callable[[], str]) -> None:
        """Carry out an act, and say what came of it in a sentence, also where it fails."""
        try:
            told, grave = act(), False
        except WorkbenchError as error:
            told, grave = str(error), True
        if told and self._face is not None:
            self._face.told.value = line_html(f"{clock(time.time())} {told}", grave=grave)

    def _allow(self, *, ask: bool = False) -> None:
        """Have each button be pressable, or say why it is not."""
        if self._face is None:
            return
        if ask:
            self._objection = self._hands.objection()
        over = self._lost or (
            f"the run is sealed: {self._sealed.manifest.status}" if self._sealed else ""
        )
        off = over or self._objection
        idle = "" if self.running else "it does not look: press Start"
        self._face.allow("start", over or ("it looks already" if self.running else ""))
        self._face.allow("stop", over or idle)
        self._face.allow("rewrite", off)
        self._face.allow("squeeze", off or idle)
        self._face.allow("keep", over or ("" if len(self._samples) > 1 else "nothing to keep yet"))
        self._face.squeezed(self._hands.squeezed)
        shown = not off or over or not self._answered  # else it is said above
        told = "" if shown else f"Rewrite and squeeze are off: {off.rstrip('.')}."
        self._face.why_not.value = line_html(told)


def _give_way() -> None:
    """Let the load go first: on Linux, niceness is each thread's own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _where(what: str | Path | Run | PrivateServer) -> tuple[str, Path | None]:
    """The URL, or the place of a run."""
    match what:
        case PrivateServer():
            return what.url, None
        case Run():
            return "", what.path
        case Path():
            return "", what
        case str() if re.search(r"://|^[\w.-]+:\d+", what):
            return what, None
        case str():
            return "", Path(what)
    raise UsageError(
        f"a dashboard is of a URL, a run or a private server, not of a {type(what).__name__}"
    )


def _judged(scene: Scene) -> str:
    if scene.judged_unix_s is None:
        return "Not judged yet"
    grave = sum(each.finding.severity != "info" for each in scene.standing)
    over = f", over {format_duration(scene.window_s)}" if scene.window_s else ""
    count = f"{grave} failing" if grave else "no rule fails"
    return f"Rules at {clock(scene.judged_unix_s)} UTC{over}: {count}"
