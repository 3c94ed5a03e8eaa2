"""Many processes, one conversation: what is kept, and what it costs."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.benches.patterns import TTL_S, identifier
from workbench.benches.writer import READY, START
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.state import RedisAtomic, StateManager, connect
from workbench.units import format_share

__all__ = ["Contention", "compare", "contend", "contention_table", "document_of", "judge"]


@dataclass(frozen=True, slots=True)
class Contention:
    """
    What came of some writers of one pattern.

    Attributes:
        pattern: its name.
        writers: processes.
        acknowledged: updates that their writers were told are done.
        lost: of these, those that the conversation does not have in the end.
        failed: updates that were given up.
        attempts: tries in all.
        elapsed_s: for which they wrote.
        update_us: of each writer's first 2,000 updates, µs.
    """

    pattern: str
    writers: int
    acknowledged: int
    lost: int
    failed: int
    attempts: int
    elapsed_s: float
    update_us: Sequence[float]

    @property
    def rate_per_s(self) -> float:
        """Updates that were kept, a second."""
        return (self.acknowledged - self.lost) / self.elapsed_s


def document_of(size_bytes: int) -> dict[str, Any]:
    """Parts of a conversation of about this size, as a member's dashboard is."""
    account = {
        "accountID": "0" * 36,
        "name": "Personal account",
        "balances": [{"denom": "USD", "amount": 1234567.25, "pending": []}] * 3,
        "limits": {"daily": None, "open": True},
    }
    each = len(json.dumps(account, separators=(",", ":")))
    accounts = [account] * max(1, round((size_bytes - 520) / each))
    return {
        "dashboard": {"member": {"memberID": "0" * 36}, "accounts": accounts},
        "action": {"n": 0, "id": "0" * 36, "type": "CREDEX_CREATED"},
    }


def contend(
    url: str, pattern: str, *, writers: int, seconds: float, size_bytes: int = 2600
) -> Contention:
    """
    Let writers loose on one conversation.

    Args:
        url: of a server that is ours.
        pattern: one of PATTERNS.
        writers: processes.
        seconds: for which each writes.
        size_bytes: of the document, about.
    """
    name = identifier()
    key = f"channel:{name}"
    with connect(url, timeout_s=30) as client:
        manager = StateManager(key, client, ttl_s=TTL_S)
        manager.initialize_channel("whatsapp", name)
        manager.update_state(document_of(size_bytes))
        if pattern not in ("function", "watch"):
            # As it would be without us.
            document = RedisAtomic(client).read(key)
            assert document is not None
            client.set(key, json.dumps(document.document), ex=TTL_S)  # workbench: raw
        command = [sys.executable, "-m", "workbench.benches.writer"]
        arguments = [url, key, pattern, str(seconds)]
        with _processes([*command, *arguments], writers) as started:
            while int(client.get(READY) or 0) < writers:
                if any(each.poll() for each in started):
                    raise RuntimeError("a writer ended before it began")
                time.sleep(0.005)
            client.rpush(START, *range(writers))
            done = [json.loads(each.communicate(timeout=seconds + 120)[0]) for each in started]
        client.delete(READY, START)
        text: Any = client.get(key)  # workbench: raw
        kept = json.loads(text)["action"]["n"]
        client.delete(key)  # workbench: raw
    acknowledged = sum(each["acknowledged"] for each in done)
    return Contention(
        pattern,
        writers,
        acknowledged,
        acknowledged - kept,
        sum(each["failed"] for each in done),
        sum(each["attempts"] for each in done),
        max(each["elapsed_s"] for each in done),
        [us for each in done for us in each["update_us"]],
    )


def contention_table(results: Sequence[Contention]) -> pd.DataFrame:
    """
    One row a result: ``pattern``, ``writers``, ``acknowledged``, ``lost_share`` (of the
    acknowledged), ``failed``, ``attempts_per_update``, ``rate_per_s``, ``update_us_p50`` and
    ``update_us_p99``.
    """
    rows = []
    for each in results:
        times = pd.Series(each.update_us, dtype=float)
        rows.append(
            {
                "pattern": each.pattern,
                "writers": each.writers,
                "acknowledged": each.acknowledged,
                "lost_share": each.lost / max(1, each.acknowledged),
                "failed": each.failed,
                "attempts_per_update": each.attempts / max(1, each.acknowledged),
                "rate_per_s": each.rate_per_s,
                "update_us_p50": times.quantile(0.5),
                "update_us_p99": times.quantile(0.99),
            }
        )
    return pd.DataFrame(rows)


def compare(*, seconds: float = 1.0, writers: Sequence[int] = (1, 2, 4, 8, 16)) -> pd.DataFrame:
    """
    The documented pattern, WATCH with the read inside, and ours, on a server started for it.

    Args:
        seconds: for which each number of writers writes, s.
        writers: how many processes, each number in turn.

    Returns:
        As ``contention_table``, one row a pattern and number.
    """
    with (
        tempfile.TemporaryDirectory(prefix="workbench-contention-") as folder,
        PrivateServer(profile("demo"), Path(folder)) as server,
    ):
        results = [
            contend(server.url, pattern, writers=number, seconds=seconds)
            for number in writers
            for pattern in ("origin", "read within WATCH", "function")
        ]
    return contention_table(results)


def judge(table: pd.DataFrame) -> Findings:
    """Whether ours lost anything, and whether the writers met at all."""
    ours = table[table["pattern"] == "function"]
    theirs = table[table["pattern"] == "origin"]
    lost = float((ours["lost_share"] * ours["acknowledged"]).sum())
    met = bool((ours["attempts_per_update"] > 1).any())
    evidence = {
        "updates acknowledged, ours": f"{int(ours['acknowledged'].sum()):,}",
        "of these lost": f"{lost:,.0f}",
        "lost by the documented pattern": format_share(float(theirs["lost_share"].max())),
    }
    verdict: Verdict = "fail" if lost else "pass" if met else "unknown"
    says = {
        "fail": "updates that were acknowledged are not in the conversation",
        "pass": "every update that was acknowledged is in the conversation",
        "unknown": "the writers never met, so nothing was put to the test",
    }[verdict]
    advice = {
        "fail": "keep the run and report it: this must not happen",
        "pass": "",
        "unknown": "give them more time, or more writers",
    }[verdict]
    finding = Finding(
        rule="lost-updates-bench",
        title="Do atomic updates hold?",
        severity="critical",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        source="each update adds one to a counter in the conversation, which is read at the end",
    )
    return Findings([finding])


@contextmanager
def _processes(command: list[str], number: int) -> Iterator[list[subprocess.Popen[str]]]:
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()
