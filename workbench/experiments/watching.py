"""
Watcher: look at a live server again and again, read-only, and judge what was seen by the rules.

Each look is one INFO and one PING; every few seconds the look is a whole snapshot, and the rules
that need no load judge the last minute.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from workbench.diagnostics.changes import Change, Changes, Standing
from workbench.diagnostics.finding import RULES, evaluate
from workbench.errors import ServerNotReadyError
from workbench.runs.live import LiveRun
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Snapshot
from workbench.server.guard import parse_target
from workbench.state import redact
from workbench.telemetry.board import Board, Boards, Reading
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.sampler import is_possible, sample_of
from workbench.telemetry.snapshot import take_snapshot

__all__ = ["JUDGE_EVERY_S", "WINDOW_S", "Scene", "Watcher"]

JUDGE_EVERY_S: Final = 5.0
"""From one judgement to the next, at least."""

WINDOW_S: Final = 60.0
"""What the rules judge: this long, up to now."""

_BACKOFF_S_MAX: Final = 10.0
_TIMEOUT_S: Final = 2.0
_INTEGERS: Final = frozenset(
    column.name for column in TABLES["samples"].columns if str(column.type) == "int64"
)


@dataclass(frozen=True, slots=True)
class Scene:
    """
    What there is to show after one look.

    Attributes:
        board: of the look.
        standing: rules that fail, and since when.
        changes: of the findings, in this look; empty in most.
        judged_unix_s: when the rules were last asked; None if they were not yet.
        window_s: how long a time they judged, s.
    """

    board: Board
    standing: list[Standing]
    changes: list[Change]
    judged_unix_s: float | None
    window_s: float


class Watcher:
    """
    Looks at one server.

    Args:
        url: of the server; any that lets itself be read.
        interval_s: from one look to the next, s.
        limit_bytes: memory of its container, where that does not show, B.

    Raises:
        TargetRefusedError: the URL makes no sense.
        ServerNotReadyError: nothing answers there, or not to this user.
    """

    def __init__(
        self, url: str, *, interval_s: float = 1.0, limit_bytes: int | None = None
    ) -> None:
        parse_target(url)
        self.boards = Boards()
        self._interval_s = interval_s
        self._given_bytes = limit_bytes
        self._changes = Changes()
        self._snapshots: deque[Snapshot] = deque()
        self._samples: deque[dict[str, Any]] = deque()
        self._due_s = 0.0
        self._judged_s: float | None = None
        self._silences = 0
        self._rules = [
            each.id for each in RULES.values() if set(each.needs) <= {"samples", "snapshots"}
        ]
        try:
            self._client: Redis = onlooker(url, timeout_s=_TIMEOUT_S, max_connections=2)
            self._client.info("server")
        except RedisError as error:
            raise ServerNotReadyError(
                f"{redact(url)} cannot be looked at: {redact(str(error))}"
            ) from None

    def scenes(self, wait: Callable[[float], Any]) -> Iterator[Scene]:
        """
        Look for ever; ``wait(seconds)`` is called between two looks.

        A server that does not answer is looked for at longer intervals, up to ten seconds.
        """
        due_s = time.monotonic()
        while True:
            yield self.look()
            # A look that is late does not push back the next; those that were missed are left out.
            due_s = max(due_s + self._pause_s(), time.monotonic())
            wait(due_s - time.monotonic())

    def look(self, *, judge: bool | None = None) -> Scene:
        """
        Look once.

        Args:
            judge: whether the rules are asked as well; when it is time for that if None.
        """
        now_s = time.monotonic()
        judging = now_s >= self._due_s if judge is None else judge
        reading, snapshot = self._reading(whole=judging)
        board = self.boards.take(reading)
        if reading.info is None:
            self._silences += 1
            return self._scene(board, [])
        if board.restarted or self._went_back(reading.info):
            self._samples.clear()
            self._snapshots.clear()
        self._silences = 0
        self._keep_sample(reading)
        changes: list[Change] = []
        if snapshot is not None:
            self._due_s = now_s + max(JUDGE_EVERY_S, self._interval_s)
            changes = self._judge(snapshot)
        return self._scene(board, changes)

    @property
    def limit(self) -> tuple[int | None, str]:
        """Memory of the server's container, B, and where that is known from."""
        if self._given_bytes:
            return self._given_bytes, "given"
        host = self._snapshots[-1].host if self._snapshots else None
        if host is None:
            return None, ""
        return host.memory_limit_bytes, host.memory_limit_source or ""

    @property
    def samples(self) -> list[dict[str, Any]]:
        """The looks of the last minute, as rows of ``samples``; of one life of the server."""
        return list(self._samples)

    @property
    def snapshots(self) -> list[Snapshot]:
        """The whole looks that the rules judge by: the first of the last minute, and the latest."""
        return list(self._snapshots)

    def run(self, *, begun_unix_s: float) -> LiveRun | None:
        """The last minute as a run, whose time counts from then; None before the first look."""
        if not self._snapshots:
            return None
        return LiveRun(
            self.snapshots,
            self._samples,
            limit_bytes=self._given_bytes,
            begun_unix_s=begun_unix_s,
        )

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _scene(self, board: Board, changes: list[Change]) -> Scene:
        window_s = 0.0
        if self._snapshots:
            window_s = self._snapshots[-1].unix_s - self._snapshots[0].unix_s
        return Scene(board, self._changes.standing, changes, self._judged_s, window_s)

    def _pause_s(self) -> float:
        if not self._silences:
            return self._interval_s
        backed_off_s = self._interval_s * 2.0 ** min(self._silences - 1, 10)
        return max(self._interval_s, min(_BACKOFF_S_MAX, backed_off_s))

    def _reading(self, *, whole: bool) -> tuple[Reading, Snapshot | None]:
        try:
            before = self._snapshots[-1].refused if self._snapshots else None
            snapshot = take_snapshot(self._client, refused_before=before) if whole else None
            info = snapshot.info if snapshot else self._client.info("everything")
            ping_us, refused = self._ping()
        except RedisError as error:
            said = " ".join(redact(str(error)).split()) or type(error).__name__
            return Reading(time.time(), error=said.rstrip(".")), None
        return Reading(time.time(), info, ping_us, refused), snapshot

    def _ping(self) -> tuple[float | None, str]:
        asked_s = time.perf_counter()
        try:
            self._client.ping()
        except BusyLoadingError:
            return None, "LOADING"
        except ResponseError as error:
            # It may have been answered by MISCONF, or not be allowed.
            return None, str(error).partition(" ")[0][:20]
        return 1e6 * (time.perf_counter() - asked_s), ""

    def _went_back(self, info: Any) -> bool:
        """CONFIG RESETSTAT was sent: what grew in the window is not known."""
        if not self._samples:
            return False
        name = "total_commands_processed"
        was, now = self._samples[-1].get(name), info.get(name)
        return was is not None and now is not None and now < was

    def _keep_sample(self, reading: Reading) -> None:
        values = sample_of(dict(reading.info or {}))
        self._samples.append(
            {
                **{k: v for k, v in values.items() if k not in _INTEGERS or is_possible(v)},
                "unix_s": reading.unix_s,
                "sample_lag_s": 0.0,
            }
        )
        while reading.unix_s - self._samples[0]["unix_s"] > WINDOW_S:
            self._samples.popleft()

    def _judge(self, snapshot: Snapshot) -> list[Change]:
        self._snapshots.append(snapshot)
        # The second may be old enough to begin the window: then the first is not needed.
        while len(self._snapshots) > 2 and snapshot.unix_s - self._snapshots[1].unix_s >= WINDOW_S:
            self._snapshots.popleft()
        ends = [self._snapshots[0], snapshot] if len(self._snapshots) > 1 else [snapshot]
        run = LiveRun(ends, self._samples, limit_bytes=self._given_bytes)
        findings = evaluate(run, *self._rules)
        self._judged_s = snapshot.unix_s
        return self._changes.take(findings, unix_s=snapshot.unix_s)
