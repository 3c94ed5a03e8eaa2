"""
made_run: a sealed run of as many turns as one likes, drawn and not measured.

It is shaped as the load records one: two load processes that write a part every five seconds, 2778
turns a second, pauses of a lognormal, a server that comes to its cap and evicts whom it has not
seen for half a minute, rewrites that slow the turns beside them, a ledger, and a last look at what
is left. Nothing of it says anything of a server.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.flows.model import FLOWS
from workbench.runs.manifest import Manifest, Phase, write_manifest
from workbench.runs.run import Run
from workbench.runs.schema import KEY_STATES, OUTCOMES, TABLES
from workbench.runs.snapshot import Snapshot, write_snapshots
from workbench.units import MIB

__all__ = ["TURNS_PER_S", "made_run"]

TURNS_PER_S: Final = 2778.0
"""Ten million in an hour."""

_START_UNIX_S: Final = 1_800_000_000.0
_WARM_UP_S: Final = 5.0
_PIECE_S: Final = 900.0
_PART_S: Final = 5.0
_WORKERS: Final = 2
_TTL_S: Final = 300.0
_MEDIAN_S, _P95_S = 8.0, 45.0
_P95_Z: Final = 1.6449
_STAYS_S: Final = 35.0
_REWRITE_EVERY_S, _REWRITE_S = 120.0, 6.0
_CAP_BYTES: Final = 512 * MIB
_FLOW_WEIGHTS: Final[Mapping[str, float]] = {
    "login": 35,
    "offer_secured": 25,
    "accept_offer": 15,
    "view_ledger": 15,
    "onboard": 10,
}
_NONE: Final = "none"


def made_run(folder: Path, *, turns: int, seed: int) -> Run:
    """
    Make one.

    Args:
        folder: where; its name is the run's.
        turns: how many.
        seed: of what is drawn.
    """
    folder.mkdir(parents=True)
    measured_s = turns / TURNS_PER_S
    at_cap_s = min(60.0, 0.1 * measured_s)
    numbers, total = 0, 0
    evicted = np.zeros(int(_WARM_UP_S + measured_s) + 2, dtype=np.int64)
    for piece, start_s in enumerate(np.arange(0.0, measured_s, _PIECE_S)):
        drawn = _Piece.drawn(
            np.random.default_rng([seed, piece]),
            start_s=float(start_s) - (0.0 if start_s else _WARM_UP_S),
            stop_s=min(float(start_s) + _PIECE_S, measured_s),
            at_cap_s=at_cap_s,
            first=numbers,
        )
        numbers += drawn.conversations
        total += len(drawn.columns["unix_s"])
        gone_s = drawn.evictions["unix_s"] - _START_UNIX_S + _WARM_UP_S
        evicted += np.bincount(np.ceil(gone_s).astype(int), minlength=len(evicted))
        drawn.write(folder, piece)
    random = np.random.default_rng([seed, 1_000_000])
    _write_samples(folder, evicted, at_cap_s, random)
    _write_generator(folder, len(evicted), random)
    _write_windows(folder, evicted)
    _write_events(folder, measured_s)
    experiment = {
        "name": "made",
        "question": "What does it take to read a run of this many turns?",
        "scenario": "steady",
        "ledger": True,
        "turns_per_s": TURNS_PER_S,
        "users": 200,
        "maxmemory_bytes": _CAP_BYTES,
        "measure_s": measured_s,
        "warm_up_s": _WARM_UP_S,
        "think_median_s": _MEDIAN_S,
        "think_p95_s": _P95_S,
        "compression": 1.0,
        "ttl_s": _TTL_S,
    }
    stop_s = _START_UNIX_S + measured_s
    write_manifest(
        folder,
        Manifest(
            run_id=folder.name,
            status="complete",
            experiment=experiment,
            seed=seed,
            started_unix_s=_START_UNIX_S - _WARM_UP_S - 1,
            stopped_unix_s=stop_s + 1,
            host={"cores": 2, "memory_limit_bytes": 4096 * MIB, "memory_limit_source": "made"},
            server={
                "ours": True,
                "engine": "redis",
                "version": "7.0.15",
                "allocator": "jemalloc-5.3.0",
                "config": {"maxmemory": str(_CAP_BYTES), "maxmemory-policy": "allkeys-lru"},
            },
            phases=[
                Phase("warm-up", _START_UNIX_S - _WARM_UP_S, _START_UNIX_S),
                Phase("measure", _START_UNIX_S, stop_s),
            ],
            rows={"operations": total},
        ),
    )
    info = {"redis_version": "7.0.15", "run_id": _NONE, "role": "master", "maxmemory": _CAP_BYTES}
    write_snapshots(
        folder, [Snapshot(unix_s=at_s, info=info) for at_s in (_START_UNIX_S - 6.0, stop_s)]
    )
    return Run(folder)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A quarter of an hour of conversations, so that few rows are in memory at once."""

    columns: dict[str, Any]
    keys: dict[str, Any]
    evictions: dict[str, Any]
    conversations: int

    @classmethod
    def drawn(
        cls,
        random: np.random.Generator,
        *,
        start_s: float,
        stop_s: float,
        at_cap_s: float,
        first: int,
    ) -> "_Piece":
        flows = list(_FLOW_WEIGHTS)
        weights = np.array(list(_FLOW_WEIGHTS.values())) / sum(_FLOW_WEIGHTS.values())
        lengths = np.array([len(FLOWS[name].steps) for name in flows])
        # Some turns fall behind the end of the piece, and are not had: so more are drawn.
        wanted = round(TURNS_PER_S * (stop_s - max(start_s, 0.0)))
        more = 1.05 + 30.0 / (stop_s - start_s)
        many = max(1, round(more * wanted / float(weights @ lengths)))
        flow = random.choice(len(flows), many, p=weights)
        length = lengths[flow]
        conversation = np.repeat(np.arange(many), length)
        first_row = np.cumsum(length) - length
        turn = np.arange(len(conversation)) - first_row[conversation]
        sigma = np.log(_P95_S / _MEDIAN_S) / _P95_Z
        pause_s = np.where(turn > 0, _MEDIAN_S * random.lognormal(0, sigma, len(turn)), 0.0)
        begin_s = random.uniform(start_s, stop_s, many)
        since_s = np.cumsum(pause_s)
        due_s = begin_s[conversation] + since_s - since_s[first_row][conversation]

        stays_s = random.gamma(20.0, _STAYS_S / 20.0, len(turn))
        full = due_s > at_cap_s
        evicted = (turn > 0) & full & (pause_s > stays_s)
        outcome = np.zeros(len(turn), dtype=np.int16)
        names = list(OUTCOMES)
        outcome[evicted] = names.index("evicted")
        outcome[(turn > 0) & (pause_s > _TTL_S)] = names.index("expired")
        odd = random.random(len(turn))
        outcome[odd < 2e-4] = names.index("timeout")
        outcome[odd < 5e-5] = names.index("refused")

        had = due_s < stop_s
        had &= np.cumsum(had) <= wanted
        slow = 1.0 + 2.0 * (np.mod(due_s, _REWRITE_EVERY_S) < _REWRITE_S)
        service_us = 450.0 * random.lognormal(0, 0.5, len(turn)) * slow
        lag_us = random.gamma(2.0, 150.0, len(turn))
        queue_us = np.where(random.random(len(turn)) < 0.01, random.exponential(8e3, len(turn)), 0)
        response_us = service_us + lag_us + queue_us
        carried = outcome == 0
        number = conversation + first
        columns = {
            "unix_s": _START_UNIX_S + due_s,
            "flow": flow[conversation].astype(np.int16),
            "step": turn.astype(np.int16),
            "operation": (turn > 0).astype(np.int16),
            "outcome": outcome,
            "response_us": response_us.astype(np.float32),
            "queue_us": queue_us.astype(np.float32),
            "lag_us": lag_us.astype(np.float32),
            "service_us": service_us.astype(np.float32),
            "attempts": carried.astype(np.int16) + (odd > 0.999),
            "value_bytes": np.where(carried, random.integers(2100, 2900, len(turn)), 0),
            "age_s": np.where(turn > 0, pause_s, np.nan).astype(np.float32),
            "ttl_s": np.full(len(turn), _TTL_S, dtype=np.float32),
            "conversation": number.astype(np.int32),
            "turn": turn.astype(np.int16),
            "delivery": np.zeros(len(turn), dtype=np.int16),
            "worker": (number % _WORKERS).astype(np.int16),
        }
        # Whose next turn found it evicted, and whoever had none: all go when nobody asks for them.
        gone = np.flatnonzero(evicted & had)
        last = np.flatnonzero(had & ~evicted & np.append(~had[1:] | (turn[1:] == 0), True))
        at_end_s = due_s[last] + stays_s[last]
        left = at_end_s < stop_s
        when_s = np.concatenate([due_s[gone] - pause_s[gone] + stays_s[gone], at_end_s[left]])
        whose = np.concatenate([number[gone], number[last[left]]])
        order = np.argsort(when_s)
        evictions = {
            "unix_s": _START_UNIX_S + np.maximum(when_s, start_s)[order],
            "kind": np.zeros(len(order), dtype=np.int16),
            "database": np.zeros(len(order), dtype=np.int16),
            "prefix": np.zeros(len(order), dtype=np.int16),
            "conversation": whose[order].astype(np.int32),
        }
        states = list(KEY_STATES)
        state = np.where(left, states.index("evicted"), states.index("present")).astype(np.int16)
        keys = {
            "unix_s": np.full(len(last), _START_UNIX_S + stop_s),
            "conversation": number[last].astype(np.int32),
            "age_s": (stop_s - due_s[last]).astype(np.float32),
            "ttl_s": np.full(len(last), _TTL_S, dtype=np.float32),
            "state": state,
            "update": np.where(left, 1, 0).astype(np.int16),
            "worker": (number[last] % _WORKERS).astype(np.int16),
        }
        return cls({name: values[had] for name, values in columns.items()}, keys, evictions, many)

    def write(self, folder: Path, piece: int) -> None:
        """As the load processes do: a part each, every five seconds."""
        flows = list(_FLOW_WEIGHTS)
        steps = {name: [step.name for step in FLOWS[name].steps] for name in flows}
        names = sorted({step for each in steps.values() for step in each})
        of_flow = np.zeros((len(flows), max(map(len, steps.values()))), dtype=np.int16)
        for row, each in enumerate(steps.values()):
            of_flow[row, : len(each)] = [names.index(step) for step in each]
        columns = self.columns | {"step": of_flow[self.columns["flow"], self.columns["turn"]]}
        words = {
            "flow": flows,
            "step": names,
            "operation": ["write", "update"],
            "outcome": list(OUTCOMES),
        }
        window = ((columns["unix_s"] - _START_UNIX_S) // _PART_S).astype(np.int32)
        order = np.lexsort((columns["unix_s"], window, columns["worker"]))
        cut = np.flatnonzero(
            (np.diff(window[order]) != 0) | (np.diff(columns["worker"][order]) != 0)
        )
        table = _table("operations", {n: v[order] for n, v in columns.items()}, words)
        edges = [0, *(cut + 1), len(order)]
        for number, (begin, end) in enumerate(itertools.pairwise(edges)):
            worker = int(columns["worker"][order[begin]])
            part = f"part-worker{worker}-{piece:03d}{number:04d}"
            _write(folder, "operations", table.slice(begin, end - begin), part)
        words = {"state": list(KEY_STATES), "update": ["kept", ""]}
        _write(folder, "keys", _table("keys", self.keys, words), f"part-worker0-{piece:04d}")
        words = {"kind": ["evicted"], "prefix": ["channel"]}
        table = _table("evictions", self.evictions, words)
        _write(folder, "evictions", table, f"part-ledger-{piece:04d}")


def _write_samples(
    folder: Path, grew: np.ndarray, at_cap_s: float, random: np.random.Generator
) -> None:
    """
    What the sampler records, once a second.

    Args:
        folder: of the run.
        grew: keys that were evicted in each second, from the warm-up on.
        at_cap_s: when the memory is full.
        random: what is drawn from.
    """
    many = len(grew)
    at_s = _seconds(many)
    filled = np.clip((at_s + _WARM_UP_S) / (at_cap_s + _WARM_UP_S), 0, 1)
    used = (_CAP_BYTES * filled).astype(np.int64)
    within_s = np.mod(at_s, _REWRITE_EVERY_S)
    rewrites = np.clip(np.floor((at_s - _REWRITE_S) / _REWRITE_EVERY_S) + 1, 0, None)
    base = (0.9 * used).astype(np.int64)
    zeros = np.zeros(many, dtype=np.int64)
    given = {
        "sample_lag_s": np.zeros(many),
        "sample_us": random.gamma(4.0, 150.0, many),
        "keys": (filled * 180_000).astype(np.int64),
        "expires": (filled * 180_000).astype(np.int64),
        "used_memory": used,
        "used_memory_rss": (1.1 * used).astype(np.int64) + 10 * MIB,
        "used_memory_peak": used,
        "used_memory_overhead": (0.1 * used).astype(np.int64),
        "used_memory_dataset": (0.9 * used).astype(np.int64),
        "maxmemory": np.full(many, _CAP_BYTES),
        "mem_clients_normal": np.full(many, 500_000),
        "evicted_keys": grew.cumsum(),
        "connected_clients": np.full(many, 40),
        "aof_enabled": zeros + 1,
        "total_commands_processed": ((at_s + _WARM_UP_S) * 2 * TURNS_PER_S).astype(np.int64),
        "latest_fork_usec": np.where(rewrites > 0, 9_000, 0),
        "total_forks": rewrites.astype(np.int64),
        "aof_rewrites": rewrites.astype(np.int64),
        "aof_rewrite_in_progress": _rewriting(at_s).astype(np.int64),
        "aof_last_rewrite_time_sec": np.where(rewrites > 0, int(_REWRITE_S), -1),
        "aof_base_size": base,
        "aof_current_size": base + (np.clip(within_s, 0, None) * 6e6).astype(np.int64),
        "aof_last_cow_size": np.where(rewrites > 0, 40 * MIB, 0),
    }
    texts = {
        "run_id": ["a" * 40],
        "aof_last_bgrewrite_status": ["ok"],
        "aof_last_write_status": ["ok"],
    }
    codes = dict.fromkeys(texts, np.zeros(many, dtype=np.int16))
    known = {column.name for column in TABLES["samples"].columns}
    samples = dict.fromkeys(known, zeros) | {"unix_s": _START_UNIX_S + at_s} | given | codes
    _write(folder, "samples", _table("samples", samples, texts), "part-sampler-0000")


def _write_generator(folder: Path, many: int, random: np.random.Generator) -> None:
    """So many seconds of each load process."""
    at_s = _seconds(many)
    per_s = TURNS_PER_S / _WORKERS
    for worker in range(_WORKERS):
        seconds = {
            "unix_s": _START_UNIX_S + at_s,
            "cpu_share": random.normal(0.45, 0.03, many).clip(0.1, 0.8),
            "turns_due": random.poisson(per_s, many),
            "turns_completed": random.poisson(per_s, many),
            "turns_waiting": (_rewriting(at_s) & (random.random(many) < 0.5)).astype(np.int64),
            "slots_busy": random.integers(1, 30, many),
            "worker": np.full(many, worker),
        }
        table = _table("generator", seconds, {})
        _write(folder, "generator", table, f"part-worker{worker}-0000")


def _write_windows(folder: Path, grew: np.ndarray) -> None:
    """The ledger's windows: each second's evictions were all seen."""
    many = len(grew)
    windows = {
        "unix_s": _START_UNIX_S + _seconds(many),
        "window_s": np.ones(many),
        "evicted_seen": grew,
        "expired_seen": np.zeros(many, dtype=np.int64),
        "evicted_keys": grew,
        "expired_keys": np.zeros(many, dtype=np.int64),
        "complete": np.ones(many, dtype=bool),
        "why": np.zeros(many, dtype=np.int16),
    }
    table = _table("eviction_windows", windows, {"why": [""]})
    _write(folder, "eviction_windows", table, "part-ledger-0000")


def _write_events(folder: Path, measured_s: float) -> None:
    """Phases and rewrites."""
    marks = [
        (-_WARM_UP_S, 0.0, "phase", "origin"),
        (-_WARM_UP_S, _WARM_UP_S, "phase", "warm-up"),
        (0.0, measured_s, "phase", "measure"),
        *_rewrite_marks(measured_s),
    ]
    events = [
        {
            "unix_s": _START_UNIX_S + at,
            "duration_s": lasts_s,
            "kind": kind,
            "label": label,
            "detail": "",
        }
        for at, lasts_s, kind, label in marks
    ]
    table = pa.Table.from_pylist(events, schema=TABLES["events"].arrow)
    _write(folder, "events", table, "part-seal-0000")


def _seconds(many: int) -> np.ndarray:
    """Elapsed time at so many seconds, from the warm-up on, s."""
    return np.arange(many) - _WARM_UP_S


def _rewriting(at_s: np.ndarray) -> np.ndarray:
    going_on: np.ndarray = (at_s >= 0) & (np.mod(at_s, _REWRITE_EVERY_S) < _REWRITE_S)
    return going_on


def _rewrite_marks(measured_s: float) -> Iterator[tuple[float, float, str, str]]:
    for at_s in np.arange(0.0, measured_s - _REWRITE_S, _REWRITE_EVERY_S):
        yield float(at_s), _REWRITE_S, "aof_rewrite", "ok"


def _table(name: str, columns: Mapping[str, Any], words: Mapping[str, list[str]]) -> pa.Table:
    """A table of numpy columns; of a column of names the number of each in ``words``."""
    schema = TABLES[name].arrow
    arrays = []
    for field in schema:
        values = columns[field.name]
        if field.name in words:
            array = pa.DictionaryArray.from_arrays(
                pa.array(values, type=pa.int16()), pa.array(words[field.name])
            )
        else:
            array = pa.array(values, from_pandas=True).cast(field.type)
        arrays.append(array)
    return pa.table(arrays, schema=schema)


def _write(folder: Path, table: str, rows: pa.Table, part: str) -> None:
    (folder / table).mkdir(exist_ok=True)
    pq.write_table(rows, folder / table / f"{part}.parquet", compression="zstd")
