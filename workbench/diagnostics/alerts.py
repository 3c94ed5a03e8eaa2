"""
Alerts: what should wake somebody, as data; made from the limits of the rules.

An alert names the rule that judges the same, and takes its limit from ``limits.py``, so that an
alert and ``workbench check`` agree. ``workbench.reports.alerting`` writes them for Prometheus and
for CloudWatch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from workbench.diagnostics.limits import (
    ACCEPT_SHARE_MAX,
    AOF_BUFFER_BYTES_MAX,
    CLIENTS_SHARE_MAX,
    COW_SHARE_MAX,
    ERRORS_MIN,
    ERRORS_SHARE_MAX,
    EXCEEDED_MS_PER_S_MAX,
    FORK_US_MAX,
    FULL_SHARE,
    SESSION_TIMEOUT_S,
)
from workbench.telemetry.metrics import PREFIX
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["WINDOW_S", "Alert", "Condition", "alerts"]

WINDOW_S: Final = 300
"""Over which counters are summed, s: with an export each minute it holds five figures."""

Operator = Literal[">", ">=", "<"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """
    One thing that has to hold.

    Attributes:
        metric: by its Prometheus name.
        reduce: ``latest``, the figure as it is; ``growth``, of a counter over ``WINDOW_S``;
            ``falls``, how often the figure was lower than the one before in ``WINDOW_S``.
        over: a metric by which the figure is divided, reduced in the same way; empty for none.
        operator, limit: what the figure is held against.
        labels: of the metric.
    """

    metric: str
    operator: Operator
    limit: float
    reduce: Literal["latest", "growth", "falls"] = "latest"
    over: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """
    One alert: it fires when all its conditions hold together.

    Attributes:
        name: as monitoring systems show it.
        rule: that judges the same; empty if a run cannot show it.
        severity: ``critical`` wakes somebody, ``warning`` waits for the morning.
        summary: what is wrong, with the limit.
        action: what to do.
        conditions: one or more.
        for_s: how long they must hold, s.
        silence: whether figures that stay away fire it as well.
    """

    name: str
    rule: str
    severity: Literal["critical", "warning"]
    summary: str
    action: str
    conditions: tuple[Condition, ...]
    for_s: int = 0
    silence: bool = False


def alerts(
    *, limit_bytes: int | None = None, maxmemory_bytes: int | None = None
) -> tuple[Alert, ...]:
    """
    Every alert.

    Args:
        limit_bytes: memory of the server's container, for an exporter that is not told it and
            cannot see it; if None the exporter's own ratio is used.
        maxmemory_bytes: the cap of a server that refuses writes when it is full, likewise.
    """
    return (
        *_memory(limit_bytes, maxmemory_bytes),
        *_eviction(),
        *_errors(),
        *_persistence(),
        *_presence(),
    )


def _latest(metric: str, operator: Operator, limit: float, **labels: str) -> Condition:
    return Condition(metric=f"{PREFIX}{metric}", operator=operator, limit=limit, labels=labels)


def _grows(metric: str, by_over: float = 0, **labels: str) -> Condition:
    return Condition(
        metric=f"{PREFIX}{metric}", operator=">", limit=by_over, reduce="growth", labels=labels
    )


def _within(share: float, whole_bytes: int | None, absolute: str, ratio: str) -> Condition:
    """Over a share of a size: of one that is given, else by the ratio that is exported."""
    if whole_bytes is None:
        return _latest(ratio, ">", share)
    return _latest(absolute, ">", share * whole_bytes)


def _memory(limit_bytes: int | None, maxmemory_bytes: int | None) -> tuple[Alert, ...]:
    full = format_share(FULL_SHARE)
    limit = "its container's memory" if limit_bytes is None else format_bytes(limit_bytes)
    cap = "maxmemory" if maxmemory_bytes is None else format_bytes(maxmemory_bytes)
    return (
        Alert(
            name="RedisFlowMemoryNearLimit",
            rule="memory-headroom",
            severity="critical",
            summary=f"over {full} of {limit} are resident: beyond it the kernel kills the server",
            action="lower maxmemory, or raise the container's memory, before the next rewrite",
            conditions=(
                _within(FULL_SHARE, limit_bytes, "memory_rss_bytes", "memory_limit_ratio"),
            ),
            for_s=300,
        ),
        Alert(
            name="RedisFlowMemoryFull",
            rule="refuses-when-full",
            severity="critical",
            summary=f"over {full} of {cap} are used, and a full server refuses every write",
            action="raise maxmemory, or shorten the time to live",
            conditions=(
                _within(
                    FULL_SHARE, maxmemory_bytes, "memory_used_bytes", "memory_until_refusal_ratio"
                ),
            ),
            for_s=300,
        ),
        Alert(
            name="RedisFlowCopyOnWrite",
            rule="cow-headroom",
            severity="warning",
            summary=f"the latest rewrite copied over {format_share(COW_SHARE_MAX)} of the room to "
            "the container's limit",
            action="lower maxmemory, or have rewrites in quiet hours",
            conditions=(_latest("cow_headroom_ratio", ">", COW_SHARE_MAX),),
        ),
        Alert(
            name="RedisFlowOverCap",
            rule="over-cap",
            severity="warning",
            summary="eviction does not keep pace: the server was over its cap for more than "
            f"{EXCEEDED_MS_PER_S_MAX:g} ms in each second",
            action="more memory; else maxmemory-eviction-tenacity, lazyfree-lazy-eviction",
            conditions=(
                _grows("eviction_exceeded_seconds_total", EXCEEDED_MS_PER_S_MAX / 1000 * WINDOW_S),
            ),
        ),
    )


def _eviction() -> tuple[Alert, ...]:
    return (
        Alert(
            name="RedisFlowEvictions",
            rule="evictions",
            severity="critical",
            summary="keys are evicted: each is somebody's conversation",
            action="raise maxmemory, or shorten the time to live, until nothing is evicted",
            conditions=(_grows("evicted_keys_total"),),
        ),
        Alert(
            name="RedisFlowLiveStateEvicted",
            rule="age-at-eviction",
            severity="critical",
            summary="keys are evicted, and hardly one that is left was idle for "
            f"{format_duration(SESSION_TIMEOUT_S)}: people lose conversations that they are in",
            action="raise maxmemory now",
            conditions=(
                _grows("evicted_keys_total"),
                _latest("key_idle_seconds", "<", SESSION_TIMEOUT_S, quantile="0.9"),
            ),
        ),
        Alert(
            name="RedisFlowClientBuffers",
            rule="client-buffers",
            severity="critical",
            summary=f"buffers of clients take over {format_share(CLIENTS_SHARE_MAX)} of maxmemory "
            "while keys are evicted",
            action="find who reads slowly: CLIENT LIST, omem; set maxmemory-clients",
            conditions=(
                _latest("memory_clients_ratio", ">", CLIENTS_SHARE_MAX),
                _grows("evicted_keys_total"),
            ),
        ),
    )


def _errors() -> tuple[Alert, ...]:
    return (
        Alert(
            name="RedisFlowWritesRefusedDisk",
            rule="aof-write",
            severity="critical",
            summary="commands are refused for a disk that is full or failing (MISCONF)",
            action="give the disk under dir room",
            conditions=(_grows("errors_total", error="MISCONF"),),
        ),
        Alert(
            name="RedisFlowWritesRefusedMemory",
            rule="refuses-when-full",
            severity="critical",
            summary="writes are refused for want of memory (OOM)",
            action="raise maxmemory, or choose a policy that evicts",
            conditions=(_grows("errors_total", error="OOM"),),
        ),
        Alert(
            name="RedisFlowConnectionsRejected",
            rule="refused-clients",
            severity="critical",
            summary="connections are refused: maxclients is reached",
            action="pools × processes must be under maxclients",
            conditions=(_grows("connections_rejected_total"),),
        ),
        Alert(
            name="RedisFlowClientsNearMax",
            rule="refused-clients",
            severity="warning",
            summary=f"over {format_share(ACCEPT_SHARE_MAX)} of maxclients are taken",
            action="pools × processes must be under maxclients",
            conditions=(_latest("clients_ratio", ">", ACCEPT_SHARE_MAX),),
            for_s=300,
        ),
        Alert(
            name="RedisFlowErrorReplies",
            rule="error-replies",
            severity="warning",
            summary=f"over {format_share(ERRORS_SHARE_MAX)} of the commands are answered by errors",
            action="see which: redis_flow_errors_total, by its first word",
            conditions=(
                Condition(
                    metric=f"{PREFIX}error_replies_total",
                    over=f"{PREFIX}commands_processed_total",
                    reduce="growth",
                    operator=">",
                    limit=ERRORS_SHARE_MAX,
                ),
                Condition(
                    metric=f"{PREFIX}error_replies_total",
                    reduce="growth",
                    operator=">=",
                    limit=ERRORS_MIN,
                ),
            ),
        ),
    )


def _persistence() -> tuple[Alert, ...]:
    return (
        Alert(
            name="RedisFlowAofWriteFails",
            rule="aof-write",
            severity="critical",
            summary="the last write to the AOF failed: every write is refused",
            action="give the disk under dir room",
            conditions=(_latest("aof_last_write_ok", "<", 1),),
        ),
        Alert(
            name="RedisFlowAofRewriteFails",
            rule="aof-rewrite",
            severity="warning",
            summary="the last AOF rewrite failed: the AOF grows until the disk is full",
            action="see the server's log for a full disk or a refused fork; then BGREWRITEAOF",
            conditions=(_latest("aof_last_rewrite_ok", "<", 1),),
        ),
        Alert(
            name="RedisFlowFsyncLate",
            rule="fsync-late",
            severity="warning",
            summary="writes to the AOF waited 2 s for an fsync: a crash loses more than a second",
            action="a faster disk, or fewer others on it",
            conditions=(_grows("aof_delayed_fsyncs_total"),),
        ),
        Alert(
            name="RedisFlowAofBuffer",
            rule="aof-buffer",
            severity="warning",
            summary=f"{format_bytes(AOF_BUFFER_BYTES_MAX)} or more of the AOF wait for the disk",
            action="a faster disk, or fewer and smaller writes",
            conditions=(_latest("memory_aof_buffer_bytes", ">=", AOF_BUFFER_BYTES_MAX),),
            for_s=60,
        ),
        Alert(
            name="RedisFlowForkSlow",
            rule="fork-slow",
            severity="warning",
            summary=f"the latest fork stopped the server for over "
            f"{format_duration(FORK_US_MAX / 1e6)}",
            action="less memory for each server, or fewer rewrites",
            conditions=(_latest("fork_last_duration_seconds", ">", FORK_US_MAX / 1e6),),
        ),
    )


def _presence() -> tuple[Alert, ...]:
    return (
        Alert(
            name="RedisFlowDown",
            rule="",
            severity="critical",
            summary="the server does not answer its exporter, or the exporter is gone",
            action="workbench health says why it does not answer",
            conditions=(_latest("up", "<", 1),),
            for_s=60,
            silence=True,
        ),
        Alert(
            name="RedisFlowLoading",
            rule="loading",
            severity="critical",
            summary="the server has been loading its data for a minute: every message waits",
            action="wait; a smaller AOF loads sooner",
            conditions=(_latest("loading", ">", 0),),
            for_s=60,
        ),
        Alert(
            name="RedisFlowRestarted",
            rule="restart-over-cap",
            severity="warning",
            summary="the server was restarted",
            action="see its log, and whether the kernel killed it: workbench doctor",
            conditions=(_restarted(),),
        ),
    )


def _restarted() -> Condition:
    return Condition(metric=f"{PREFIX}uptime_seconds", reduce="falls", operator=">", limit=0)
