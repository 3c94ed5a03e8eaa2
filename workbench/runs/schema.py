"""
The tables of a run directory: column, type, unit, source and meaning. The reference is made of it.

History of SCHEMA_VERSION:
    1  first form
    2  samples: expires, errorstat_MISCONF, aof_enabled, aof_pending_bio_fsync, loading,
       aof_rewrites_consecutive_failures; manifest.host: available_bytes, filesystem,
       disk_free_bytes
    3  table keys; outcomes restarted and deleted
    4  operations: delivery; outcome elsewhere; events of kind fault
    5  tables evictions and eviction_windows; events of kind keyspace_events

What was only added leaves older runs readable: a table that they lack is empty.
"""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

__all__ = [
    "EVICTION_KINDS",
    "KEY_STATES",
    "OUTCOMES",
    "SCHEMA_VERSION",
    "SCHEMA_VERSIONS_READ",
    "TABLES",
    "UNANSWERED",
    "Column",
    "Table",
]

SCHEMA_VERSION: Final = 5

SCHEMA_VERSIONS_READ: Final = (4, 5)
"""Versions that this workbench reads."""

UNANSWERED: Final = "unanswered"
"""Detail of a fault that keeps the server from answering."""

OUTCOMES: Final = {
    "ok": "the turn was carried out",
    "evicted": "the conversation was gone although its time to live had not run out",
    "expired": "the conversation was gone, its time to live had run out",
    "restarted": "the conversation was gone, and the server was restarted since its last write",
    "deleted": "the conversation was gone; nothing was evicted since, but commands deleted keys",
    "missing": "the conversation was gone, and nothing explains it",
    "elsewhere": "another task's Redis has the conversation's latest state; this one has none, or "
    "an older one",
    "lost_update": "the conversation was there without its turn before, which was acknowledged",
    "duplicate": "the message had been applied before",
    "conflict": "other writers won every race until the deadline",
    "refused": "the server refused the write (OOM, MISCONF, READONLY)",
    "timeout": "the server did not answer in time, or could not be reached",
    "error": "anything else",
    "unsent": "due in the run, and not sent before its end; response_us is cut off there",
}
"""What became of a turn."""

KEY_STATES: Final = {
    "present": "the key was there",
    "evicted": "it was gone although its time to live had not run out",
    "expired": "its time to live had run out: it was not looked at, or was gone",
    "restarted": "it was gone, and the server had been restarted since its last write",
    "deleted": "it was gone; nothing was evicted since, but commands deleted keys",
    "missing": "it was gone, and nothing explains it",
    "unread": "the time for looking was over, or the server did not answer",
}
"""How a key was found at the end of a run."""

EVICTION_KINDS: Final = ("evicted", "expired")
"""How a key can go by itself, as the server's keyspace events call it."""

_NAME: Final = pa.dictionary(pa.int16(), pa.string())


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type on disk, its unit (empty if it has none) and what it means."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the run directory, a folder of Parquet parts."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The columns as Arrow wants them."""
        return pa.schema([(column.name, column.type) for column in self.columns])


_OPERATIONS: Final = Table(
    "operations",
    "one turn: the one read-change-write that a reply in a conversation is",
    (
        Column("unix_s", pa.float64(), "s", "when the turn was due: its intended start"),
        Column("flow", _NAME, "", "the conversation's flow"),
        Column("step", _NAME, "", "the step of the flow that the turn carried out"),
        Column("operation", _NAME, "", "write: begins a conversation; update: goes on with it"),
        Column("outcome", _NAME, "", "what became of it; see below"),
        Column("response_us", pa.float32(), "µs", "completion - intended start: queue+lag+service"),
        Column(
            "queue_us",
            pa.float32(),
            "µs",
            "waiting for the previous turn of its conversation, or for a free slot",
        ),
        Column("lag_us", pa.float32(), "µs", "the generator's own lateness"),
        Column("service_us", pa.float32(), "µs", "the state manager's work, retries included"),
        Column("attempts", pa.int16(), "", "tries that the write took; 0 if none was made"),
        Column("value_bytes", pa.int32(), "B", "length of the document written; 0 if none was"),
        Column("age_s", pa.float32(), "s", "since the conversation's last write; empty if none"),
        Column("ttl_s", pa.float32(), "s", "time to live that each write gives"),
        Column("conversation", pa.int32(), "", "number of the conversation in the run"),
        Column("turn", pa.int16(), "", "number of the turn in its conversation, from 0"),
        Column("delivery", pa.int16(), "", "0; or which further delivery of the turn's message"),
        Column("worker", pa.int16(), "", "which load process"),
    ),
)

_INTEGERS: Final = (
    ("used_memory", "B", "allocated by the server, all in all"),
    ("used_memory_rss", "B", "resident memory of the server's process"),
    ("used_memory_peak", "B", "highest used_memory since the start"),
    ("used_memory_overhead", "B", "part of used_memory that is not data"),
    ("used_memory_dataset", "B", "part of used_memory that is data"),
    ("maxmemory", "B", "the cap"),
    ("mem_not_counted_for_evict", "B", "part of used_memory that the cap does not count"),
    ("mem_clients_normal", "B", "buffers of ordinary clients"),
    ("mem_aof_buffer", "B", "AOF buffers"),
    ("evicted_keys", "", "keys evicted since the start"),
    ("expired_keys", "", "keys expired since the start"),
    ("keyspace_hits", "", "reads that found their key"),
    ("keyspace_misses", "", "reads that did not"),
    ("total_commands_processed", "", "commands since the start"),
    ("total_error_replies", "", "error replies since the start"),
    ("connected_clients", "", "client connections"),
    ("rejected_connections", "", "connections refused for maxclients"),
    ("total_forks", "", "forks since the start"),
    ("latest_fork_usec", "µs", "duration of the latest fork"),
    ("loading", "", "1 while the server reads its data from disk"),
    ("aof_enabled", "", "1 if the server keeps an AOF"),
    ("aof_rewrite_in_progress", "", "1 while an AOF rewrite goes on"),
    ("aof_rewrites", "", "AOF rewrites since the start"),
    ("aof_rewrites_consecutive_failures", "", "AOF rewrites that failed since the last good one"),
    ("aof_last_rewrite_time_sec", "s", "duration of the latest rewrite, whole seconds"),
    ("aof_current_size", "B", "size of the AOF: base and increments"),
    ("aof_base_size", "B", "size of the AOF after the latest rewrite"),
    ("aof_pending_bio_fsync", "", "fsyncs of the AOF that are under way or waiting"),
    ("aof_delayed_fsync", "", "writes to the AOF that an fsync held up for 2 s, since the start"),
    ("aof_last_cow_size", "B", "memory that the latest rewrite copied on write"),
)

_SAMPLES: Final = Table(
    "samples",
    "one INFO of the server, by the sampler; fields under Redis's own names",
    (
        Column("unix_s", pa.float64(), "s", "when the reply came"),
        Column("sample_lag_s", pa.float32(), "s", "how late the sampler itself was"),
        Column("sample_us", pa.float32(), "µs", "how long the reply took"),
        Column("keys", pa.int64(), "", "keys in all databases"),
        Column("expires", pa.int64(), "", "of these, keys with a time to live"),
        Column("errorstat_MISCONF", pa.int64(), "", "writes refused for a failing disk"),
        Column("run_id", _NAME, "", "changes when the server is restarted"),
        Column("aof_last_bgrewrite_status", _NAME, "", "ok or err"),
        Column("aof_last_write_status", _NAME, "", "ok or err"),
        *(Column(name, pa.int64(), unit, meaning) for name, unit, meaning in _INTEGERS),
    ),
)

_EVENTS: Final = Table(
    "events",
    "one span or instant that explains what the other tables show",
    (
        Column("unix_s", pa.float64(), "s", "when it began"),
        Column("duration_s", pa.float64(), "s", "how long it lasted; 0 for an instant"),
        Column(
            "kind",
            _NAME,
            "",
            "phase, fault, aof_rewrite, clock_step, impossible_value, keyspace_events",
        ),
        Column(
            "label",
            pa.string(),
            "",
            "which one: prefill, origin (of the schedule), warm-up, measure, cool-down; ok, "
            "err; +3600 s",
        ),
        Column("detail", pa.string(), "", "what else the source said of it"),
    ),
)

_GENERATOR: Final = Table(
    "generator",
    "one second of a load process: whether it kept up",
    (
        Column("unix_s", pa.float64(), "s", "end of the second"),
        Column("cpu_share", pa.float32(), "", "share of one core that the process used"),
        Column("turns_due", pa.int32(), "", "turns that came due"),
        Column("turns_completed", pa.int32(), "", "turns that were completed"),
        Column("turns_waiting", pa.int32(), "", "turns without a free slot, most at once"),
        Column("slots_busy", pa.int32(), "", "slots at work, most at once"),
        Column("worker", pa.int16(), "", "which load process"),
    ),
)

_KEYS: Final = Table(
    "keys",
    "one conversation that no turn had found gone, looked for once more when the load was over",
    (
        Column("unix_s", pa.float64(), "s", "when it was looked for"),
        Column("conversation", pa.int32(), "", "number of the conversation in the run"),
        Column("age_s", pa.float32(), "s", "since the conversation's last write"),
        Column("ttl_s", pa.float32(), "s", "time to live that each write gives"),
        Column("state", _NAME, "", "how it was found; see below"),
        Column(
            "update",
            _NAME,
            "",
            "kept or lost: whether the last acknowledged write was in it; unsure: it was not, but "
            "a later one got no answer; empty where it was not there",
        ),
        Column("worker", pa.int16(), "", "which load process"),
    ),
)

_EVICTIONS: Final = Table(
    "evictions",
    "one key that the server took away by itself, as its keyspace event told",
    (
        Column("unix_s", pa.float64(), "s", "when the event was read"),
        Column("kind", _NAME, "", "evicted or expired"),
        Column("database", pa.int16(), "", "number of the database that it was in"),
        Column(
            "prefix",
            _NAME,
            "",
            "how its name begins, up to a colon, and never all of it; empty if it has no colon",
        ),
        Column(
            "conversation",
            pa.int32(),
            "",
            "number of the conversation, if it is a key of the workbench's load; else empty",
        ),
    ),
)

_EVICTION_WINDOWS: Final = Table(
    "eviction_windows",
    "the time between two INFOs: the events that were seen, against what the server counted",
    (
        Column("unix_s", pa.float64(), "s", "its end"),
        Column("window_s", pa.float32(), "s", "its length"),
        Column("evicted_seen", pa.int32(), "", "events of keys that were evicted"),
        Column("expired_seen", pa.int32(), "", "events of keys that expired"),
        Column("evicted_keys", pa.int64(), "", "by how much the server's count of them grew"),
        Column("expired_keys", pa.int64(), "", "likewise; both empty over a restart"),
        Column("complete", pa.bool_(), "", "whether what was seen is what was counted"),
        Column(
            "why",
            _NAME,
            "",
            "why not: missed, excess, disconnected, restarted; empty if it is complete",
        ),
    ),
)

TABLES: Final = {
    table.name: table
    for table in (
        _OPERATIONS,
        _KEYS,
        _SAMPLES,
        _EVENTS,
        _GENERATOR,
        _EVICTIONS,
        _EVICTION_WINDOWS,
    )
}
"""The tables by name."""
