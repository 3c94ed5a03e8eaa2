"""Executor: one Python process in which notebooks are executed, each of them from nothing."""

import asyncio
import base64
import binascii
import contextlib
import io
import logging
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from workbench.checkout import notebooks_dir
from workbench.errors import ParameterError, ReportError, RunError, UsageError
from workbench.state.redaction import redact

__all__ = ["Executor", "redacted"]

_PICTURE: Final = re.compile(r"(data:image/svg\+xml;base64,)([A-Za-z0-9+/=]+)")
_LABEL: Final = re.compile(r"<!--(.*?)-->|>([^<>]+)(?=<)", re.DOTALL)
_LEFT_OUT: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="60"><text x="10" y="35" '
    'font-family="sans-serif" fill="#888">left out: a secret was drawn in this chart</text></svg>'
)
_READY_S: Final = 60
_WRONG: Final = {error.__name__ for error in (ParameterError, RunError, UsageError)}
_POLL_S: Final = 0.5


class Executor:
    """
    Executes notebooks, one after another, in one process that ends with it.

    A process of its own for each would import the same libraries again: three notebooks on the
    golden run took 12.4 s so and 6.7 s in one process, on 2 cores. Two processes at a time took
    9.3 s, and twice the memory. Between two notebooks every name is forgotten.
    """

    def __init__(self) -> None:
        self._kernel: _Kernel | None = None
        self._interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def execute(
        self, source: Path, scratch: Path, parameters: Mapping[str, Any]
    ) -> nbformat.NotebookNode:
        """
        The executed copy, whole and without secrets.

        Args:
            source: the notebook.
            scratch: a folder for what is not finished yet.
            parameters: of the notebook.

        Raises:
            UsageError: its parameters or its run are wrong; the notebook says what.
            ReportError: it failed, was killed, or did not come to its end; the message says where.
            KeyboardInterrupt: a person ended it.
        """
        try:
            with self._ended_by_interrupt():
                return self._execute(source, scratch, parameters)
        except BaseException:
            self._end()  # while its folder is there: in one that is gone it would make another
            raise

    def _execute(
        self, source: Path, scratch: Path, parameters: Mapping[str, Any]
    ) -> nbformat.NotebookNode:
        working = scratch / source.name
        # papermill's own log is noise here: what matters is raised.
        logging.getLogger("papermill").setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                papermill.execute_notebook(
                    str(source),
                    str(working),
                    parameters=dict(parameters),
                    kernel_name="python3",
                    progress_bar=False,
                    km=self._started(scratch),
                )
                run_sync(self._forget)()
        except PapermillExecutionError as error:
            if error.ename in _WRONG:
                raise UsageError(f"{source.name}: {redact(str(error.evalue))}") from None
            cell = _failed_cell(working)
            raise ReportError(
                f"{source.name} failed in cell {cell}: {redact(f'{error.ename}: {error.evalue}')}"
            ) from None
        except (DeadKernelError, RuntimeError) as error:
            raise ReportError(
                f"{source.name} failed: {redact(str(error))}; its process was killed, often for "
                "want of memory"
            ) from None
        notebook = nbformat.read(working, as_version=4)  # type: ignore[no-untyped-call]
        if missing := _unfinished(notebook):
            raise ReportError(f"{source.name} was not executed to its end: {missing}")
        whole: nbformat.NotebookNode = redacted(notebook)
        return whole

    @contextmanager
    def _ended_by_interrupt(self) -> Iterator[None]:
        """
        Have Ctrl-C end the process that executes, which ends the waiting for it.

        Raised wherever it happens to be, it may be lost among the callbacks of the connection, and
        the answer for which that waits never comes.
        """
        if threading.current_thread() is not threading.main_thread():  # signals come to that one
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def end(*_: object) -> None:
            self._interrupted = True
            if self._kernel is not None:
                self._kernel.kill()

        signal.signal(signal.SIGINT, end)
        try:
            yield
        except ReportError:
            if not self._interrupted:
                raise
        finally:
            signal.signal(signal.SIGINT, before)
        if self._interrupted:
            raise KeyboardInterrupt

    def _started(self, scratch: Path) -> "_Kernel":
        if self._kernel is None:
            # Its connection file holds a key; here a later report removes what a kill leaves.
            connection = str(scratch / "kernel.json")
            self._kernel = _Kernel(kernel_name="python3", connection_file=connection)
            # ipykernel warns at each start that its loopback sockets are not encrypted, and now and
            # then logs the interrupt by which it is ended. A failed cell is raised.
            run_sync(self._kernel.start_kernel)(
                extra_arguments=["--log-level=50"], cwd=str(notebooks_dir())
            )
            if self._interrupted:  # when there was nothing to kill yet
                self._kernel.kill()
        return self._kernel

    async def _forget(self) -> None:
        assert self._kernel is not None, "a notebook was executed in it"
        self._kernel.disconnect()
        client = self._kernel.client()
        client.start_channels()
        await client.wait_for_ready(timeout=_READY_S)
        reset = "get_ipython().reset(new_session=True)"
        asked = asyncio.ensure_future(client.execute(reset, silent=True, reply=True))
        while not (await asyncio.wait([asked], timeout=_POLL_S))[0]:
            if not await client.is_alive():
                asked.cancel()
                raise RuntimeError("Kernel died")
        self._kernel.disconnect()

    def _end(self) -> None:
        if self._kernel is not None:
            self._kernel.disconnect()
            run_sync(self._kernel.shutdown_kernel)(now=True)
            self._kernel = None


class _Kernel(AsyncKernelManager):
    """
    The process, and every connection to it: one that is left open keeps us from ending.

    The manager without Async would wait for the answers of a process that was killed for ever.
    """

    def client(self, **options: Any) -> Any:
        """A connection of its own."""
        made = super().client(**options)
        self._clients = [*getattr(self, "_clients", ()), made]
        return made

    def kill(self) -> None:
        """End the process; whoever waits for its answers is told that it died."""
        process = getattr(self.provisioner, "process", None)
        if process is not None:
            process.kill()

    def disconnect(self) -> None:
        """Close them all."""
        for client in getattr(self, "_clients", ()):
            client.stop_channels()
        self._clients = []


def redacted(value: Any) -> Any:
    """
    A copy of a notebook, or of a part of it, without secrets in any of its texts.

    Each text by itself, not the file as a whole: what is taken out of that may begin with half of
    an escape, and what is left is no JSON. A picture in which a secret is drawn is left out.
    """
    if isinstance(value, str):
        return "".join(_without_secrets(value))
    if isinstance(value, list):
        return [redacted(member) for member in value]
    if isinstance(value, dict):
        return type(value)({key: redacted(member) for key, member in value.items()})
    return value


def _without_secrets(text: str) -> Iterator[str]:
    # Not the base64 itself: some of it looks like a token by chance, and what is drawn is hidden
    # in it.
    parts = _PICTURE.split(text)
    for words, head, picture in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        yield redact(words)
        yield f"{head}{_picture(picture)}"
    yield redact(parts[-1])


def _picture(encoded: str) -> str:
    try:
        svg = base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return encoded
    labels = [told for found in _LABEL.finditer(svg) for told in found.groups() if told]
    if all(redact(label) == label for label in labels):
        return encoded
    # Letters are drawn, so to change the text alone would leave them standing.
    return base64.b64encode(_LEFT_OUT.encode()).decode()


def _failed_cell(executed: Path) -> str:
    """The id of the cell that holds the error."""
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    failed = (
        str(cell.id)
        for cell in notebook.cells
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    )
    return next(failed, "unknown")


def _unfinished(notebook: nbformat.NotebookNode) -> str:
    """What an executed copy lacks of a finished one; empty if it is one."""
    left = [
        str(cell.id)
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip() and not cell.execution_count
    ]
    if left:
        return f"of its cells {', '.join(left)} were not"
    about = notebook.metadata.get("papermill", {})
    # papermill takes a cell that leaves by SystemExit(0) for a success.
    if about.get("exception"):
        return "a cell left it"
    return "" if about.get("end_time") else "it has no end"
