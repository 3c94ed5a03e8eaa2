"""
Hands: the two things that a dashboard may do to a server, and why it may not.

Only to a server of our own: one that this process started, or one that passes the guard. That is
looked at before each act, and not only before the button is shown.
"""

import atexit
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from workbench.checkout import runs_dir
from workbench.errors import RunError, ServerNotReadyError, TargetRefusedError, WorkbenchError
from workbench.runs.files import write_json
from workbench.runs.lock import hold, is_held
from workbench.server.guard import inspect_target
from workbench.server.process import PrivateServer
from workbench.state import redact
from workbench.telemetry.onlooker import onlooker
from workbench.units import MIB, format_bytes

__all__ = ["SQUEEZED_SHARE", "Hands"]

SQUEEZED_SHARE: Final = 0.75
"""What a squeeze leaves of the memory in use, or of the cap where that is less."""

_FOLDER: Final = ".live"
_NOTE: Final = "squeezed.json"
_TIMEOUT_S: Final = 5.0


class Hands:
    """
    What may be done to one server.

    A squeeze is noted beside the runs until it is put back, so that one which a killed process left
    behind is put back by the next dashboard of that server.

    Args:
        url: of the server.
        server: if this process started it.
        i_own: its ``host:port``, from somebody who answers for it; see ``server.guard``.
        forbidden: why nothing may be done to it, whatever it is; empty if that is not so.
    """

    def __init__(
        self,
        url: str,
        *,
        server: PrivateServer | None = None,
        i_own: str = "",
        forbidden: str = "",
    ) -> None:
        self._url = url
        self._server = server
        self._i_own = i_own
        self._forbidden = forbidden
        self._squeeze = ExitStack()
        self.squeezed = False

    def objection(self) -> str:
        """Why nothing may be done to the server; empty if it may. Read-only."""
        if self._forbidden:
            return self._forbidden
        if self._server is not None:
            return self._not_ours(self._server)
        try:
            return "; ".join(inspect_target(self._url, i_own=self._i_own).objections)
        except WorkbenchError as error:
            return str(error)

    def rewrite(self) -> str:
        """
        Have the server write its AOF anew; what is then going on, in a sentence.

        Raises:
            TargetRefusedError: it is not ours.
            ServerNotReadyError: it does not answer, or refuses.
        """
        self._admit("told to rewrite its AOF")
        with self._asking() as client:
            if client.info("persistence").get("aof_rewrite_in_progress"):
                return "a rewrite of the AOF is going on already"
            client.bgrewriteaof()
        return "the server writes its AOF anew"

    def squeeze(self) -> str:
        """
        Lower maxmemory to a share of what is in use; what it is now, in a sentence.

        Raises:
            TargetRefusedError: it is not ours.
            RunError: another dashboard squeezes it.
            ServerNotReadyError: it does not answer, or refuses.
        """
        self._admit("squeezed")
        if self.squeezed:
            return "it is squeezed already; release it first"
        with self._asking() as client:
            info = client.info()
            was = int(info["maxmemory"])
            least = int(info["used_memory_startup"]) + MIB // 2
            used = min(int(info["used_memory"]), was or int(info["used_memory"]))
            cap = max(least, int(SQUEEZED_SHARE * used))
            with ExitStack() as taking:
                self._note.parent.mkdir(parents=True, exist_ok=True)
                try:
                    taking.enter_context(hold(self._note.parent))
                except RunError:
                    raise RunError(
                        "another dashboard squeezes this server: release it there first"
                    ) from None
                was = self._noted(info["run_id"], was)
                write_json(self._note, {"run_id": info["run_id"], "maxmemory": was})
                try:
                    client.config_set("maxmemory", cap)
                except RedisError:
                    self._forget()
                    raise
                self._squeeze = taking.pop_all()
        self.squeezed = True
        atexit.register(self.release)
        cap_was = f"from {format_bytes(was)}" if was else "where there was no cap"
        return f"maxmemory is {format_bytes(cap)}, {cap_was}; it is put back at stop"

    def release(self) -> str:
        """Put back the maxmemory that a squeeze changed; what was done, in a sentence, or none."""
        if not self.squeezed:
            return ""
        self.squeezed = False
        atexit.unregister(self.release)
        with self._squeeze:
            return self._put_back()

    def recover(self) -> str:
        """Put back what a dashboard that was killed left; what was done, in a sentence, or none."""
        if not self._note.exists() or is_held(self._note.parent) or self.objection():
            return ""
        return self._put_back()

    def _put_back(self) -> str:
        try:
            with self._asking() as client:
                info = client.info()
                was = self._noted(info["run_id"], None)
                if was is None:
                    told = "the server was restarted: the squeeze went with the old process"
                else:
                    client.config_set("maxmemory", was)
                    told = f"maxmemory is put back: {format_bytes(was) if was else 'no cap'}"
        except ServerNotReadyError as error:
            if self._server is None or self._server.running:
                return (
                    f"maxmemory could not be put back: {error}; the next dashboard of this "
                    "server does it"
                )
            told = "the server is gone, and the squeeze with it"
        self._forget()
        return told

    def _forget(self) -> None:
        shutil.rmtree(self._note.parent, ignore_errors=True)
        with suppress(OSError):  # another dashboard has its note there
            self._note.parent.parent.rmdir()

    def _noted(self, run_id: str, otherwise: Any) -> Any:
        """The maxmemory before the squeeze, if this same process of the server was squeezed."""
        try:
            note = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return otherwise
        return note["maxmemory"] if note.get("run_id") == run_id else otherwise

    @property
    def _note(self) -> Path:
        parts = urlsplit(self._url)
        return runs_dir() / _FOLDER / f"{parts.hostname}-{parts.port or 6379}" / _NOTE

    def _admit(self, what: str) -> None:
        if why := self.objection():
            raise TargetRefusedError(f"{redact(self._url)} is not {what}: {why}")

    def _not_ours(self, server: PrivateServer) -> str:
        if not server.running:
            return "the server has ended: start another"
        try:
            with self._asking() as client:
                if client.info("server")["process_id"] != server.pid:
                    return "another process answers on its port"
        except ServerNotReadyError as error:
            return str(error)
        return ""

    @contextmanager
    def _asking(self) -> Iterator[Redis]:
        try:
            with onlooker(self._url, timeout_s=_TIMEOUT_S, max_connections=1) as client:
                yield client
        except RedisError as error:
            raise ServerNotReadyError(
                f"{redact(self._url)} does not do it: {redact(str(error))}"
            ) from None
