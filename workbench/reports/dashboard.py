"""dashboard: a board of Grafana on the metrics of ``workbench export --to prometheus``."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from workbench.diagnostics.limits import (
    ACCEPT_SHARE_MAX,
    FORK_US_MAX,
    SESSION_TIMEOUT_S,
    TAIL_US_MAX,
)

__all__ = ["dashboard", "expressions"]

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 24
_HEIGHT: Final = 9
_NAME: Final = re.compile(r"\bredis_flow_\w+")

# Each expression is written with bare names; _on_server has them ask for one server.
_PANELS: Final[tuple[dict[str, Any], ...]] = (
    {
        "title": "Memory, to the container's limit",
        "description": "What resident memory is made of. The kernel kills the server where the "
        "stack, with what a rewrite copies, reaches the limit.",
        "unit": "bytes",
        "stack": True,
        "width": 16,
        "lines": ("container's limit", "maxmemory"),
        "targets": {
            "start-up": "redis_flow_memory_startup_bytes",
            "tables and other overhead": "clamp_min(redis_flow_memory_overhead_bytes "
            "- redis_flow_memory_startup_bytes - redis_flow_memory_clients_bytes "
            "- redis_flow_memory_replication_bytes - redis_flow_memory_aof_buffer_bytes, 0)",
            "conversations": "redis_flow_memory_dataset_bytes",
            "clients' buffers": "redis_flow_memory_clients_bytes",
            "replicas' buffers": "redis_flow_memory_replication_bytes",
            "AOF buffer": "redis_flow_memory_aof_buffer_bytes",
            "fragmentation": "clamp_min(redis_flow_memory_rss_bytes "
            "- redis_flow_memory_used_bytes, 0)",
            "copied on write now": "redis_flow_cow_current_bytes",
            "container's limit": "redis_flow_memory_limit_bytes",
            "maxmemory": "redis_flow_memory_max_bytes",
        },
    },
    {
        "title": "Room to the limit, and what the latest rewrite copied",
        "description": "A rewrite in a busier hour copies more. Absent where no limit is known.",
        "unit": "bytes",
        "width": 8,
        "targets": {
            "room": "redis_flow_memory_headroom_bytes",
            "copied by the latest rewrite": "redis_flow_cow_last_bytes",
        },
    },
    {
        "title": "Keys that leave",
        "description": "What is evicted is somebody's conversation; what expires was finished.",
        "unit": "ops",
        "width": 8,
        "targets": {
            "evicted": "rate(redis_flow_evicted_keys_total[$__rate_interval])",
            "expired": "rate(redis_flow_expired_keys_total[$__rate_interval])",
        },
    },
    {
        "title": "Age at eviction",
        "description": "Idle time of sampled keys: under an LRU policy those that go are about as "
        "old as the oldest that are left. Below the line people lose conversations that they are "
        "in. Needs --keys.",
        "unit": "s",
        "width": 8,
        "threshold": SESSION_TIMEOUT_S,
        "targets": {"quantile {{quantile}}": "redis_flow_key_idle_seconds"},
    },
    {
        "title": "Keys, and reads that found none",
        "description": "Each conversation begins with a miss.",
        "unit": "short",
        "width": 8,
        "targets": {
            "keys {{db}}": "redis_flow_keys",
            "with a time to live {{db}}": "redis_flow_keys_expiring",
            "misses/s": "rate(redis_flow_keyspace_misses_total[$__rate_interval])",
        },
    },
    {
        "title": "AOF",
        "description": "Shaded while it is rewritten.",
        "unit": "bytes",
        "width": 8,
        "targets": {
            "whole": "redis_flow_aof_size_bytes",
            "base": "redis_flow_aof_base_size_bytes",
            "incremental": "redis_flow_aof_size_bytes - redis_flow_aof_base_size_bytes",
        },
    },
    {
        "title": "Rewrites and forks",
        "description": "A fork stops every conversation as long as it takes. After three failures "
        "in a row the server waits 1 minute, then 2, up to 60.",
        "unit": "s",
        "width": 8,
        "threshold": FORK_US_MAX / 1e6,
        "targets": {
            "rewrite under way": "redis_flow_aof_rewrite_current_duration_seconds",
            "latest rewrite": "redis_flow_aof_rewrite_last_duration_seconds",
            "latest fork": "redis_flow_fork_last_duration_seconds",
        },
    },
    {
        "title": "Copied on write",
        "description": "The peak stays 0 in rewrites of under a second; the latest does not.",
        "unit": "bytes",
        "width": 8,
        "targets": {
            "now": "redis_flow_cow_current_bytes",
            "peak of this child": "redis_flow_cow_current_peak_bytes",
            "latest rewrite": "redis_flow_cow_last_bytes",
        },
    },
    {
        "title": "The disk is late, or fails",
        "description": "Writes that waited 2 s for an fsync; refusals for the disk; rewrites that "
        "failed one after another.",
        "unit": "short",
        "width": 8,
        "targets": {
            "delayed fsyncs": "increase(redis_flow_aof_delayed_fsyncs_total[$__rate_interval])",
            "refused (MISCONF)": 'increase(redis_flow_errors_total{error="MISCONF"}'
            "[$__rate_interval])",
            "failed rewrites": "redis_flow_aof_rewrite_consecutive_failures",
            "last write failed": "1 - redis_flow_aof_last_write_ok",
        },
    },
    {
        "title": "Latency by command, within the server",
        "description": "p99 and p99.9 since the server's start; the wait in the queue is not in "
        "it. Compare with the AOF beside it: forks, fsyncs.",
        "unit": "s",
        "width": 8,
        "threshold": TAIL_US_MAX / 1e6,
        "targets": {
            "{{command}} {{quantile}}": 'redis_flow_command_latency_seconds{quantile=~"0.99|0.999"}'
        },
    },
    {
        "title": "Mean time of a command",
        "description": "Of the moment, unlike the percentiles.",
        "unit": "s",
        "width": 8,
        "targets": {
            "{{command}}": "rate(redis_flow_commands_duration_seconds_total[$__rate_interval]) "
            "/ rate(redis_flow_commands_total[$__rate_interval])"
        },
    },
    {
        "title": "Errors by their first word",
        "description": "OOM: memory; MISCONF: disk; NOPERM: ACL; LOADING: the health check.",
        "unit": "ops",
        "width": 8,
        "targets": {
            "{{error}}": "rate(redis_flow_errors_total[$__rate_interval])",
        },
    },
    {
        "title": "Clients",
        "description": "Shares of 1: of maxclients, and of maxmemory that their buffers take.",
        "unit": "percentunit",
        "width": 8,
        "threshold": ACCEPT_SHARE_MAX,
        "targets": {
            "of maxclients": "redis_flow_clients_ratio",
            "buffers, of maxmemory": "redis_flow_memory_clients_ratio",
        },
    },
    {
        "title": "Connections",
        "description": "New ones for each command mean that a pool is missing.",
        "unit": "short",
        "width": 8,
        "targets": {
            "connected": "redis_flow_connected_clients",
            "blocked": "redis_flow_blocked_clients",
            "new/s": "rate(redis_flow_connections_received_total[$__rate_interval])",
            "rejected/s": "rate(redis_flow_connections_rejected_total[$__rate_interval])",
        },
    },
    {
        "title": "Disk left",
        "description": "Of the AOF's disk; on the server's own host alone.",
        "unit": "bytes",
        "width": 8,
        "targets": {"free": "redis_flow_disk_free_bytes", "AOF": "redis_flow_aof_size_bytes"},
    },
    {
        "title": "Restarts and loading",
        "description": "Uptime falls to 0 at a restart; while it loads every message waits.",
        "unit": "s",
        "width": 8,
        "targets": {
            "uptime": "redis_flow_uptime_seconds",
            "until loaded": "redis_flow_loading_eta_seconds",
        },
    },
)

_REWRITES: Final = "redis_flow_aof_rewrite_in_progress == 1"
_RESTARTS: Final = "resets(redis_flow_uptime_seconds[2m]) > 0"


def dashboard() -> str:
    """The board as JSON, to be imported into Grafana; it asks for the data source."""
    board = {
        "title": "Redis flow state",
        "uid": "redis-flow-state",
        "description": "Made by: workbench dashboard",
        "tags": ["redis"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # one crosshair through all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {
            "list": [
                _annotation("AOF rewrites", _REWRITES, "light-blue"),
                _annotation("Restarts", _RESTARTS, "red"),
            ]
        },
        "panels": _laid_out(),
    }
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def expressions() -> list[str]:
    """Every expression of the board, as it is written here."""
    found = [each for panel in _PANELS for each in panel["targets"].values()]
    return [*found, _REWRITES, _RESTARTS, "redis_flow_up"]


def _variables() -> list[dict[str, Any]]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
        },
        {
            "name": "instance",
            "label": "Server",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": "label_values(redis_flow_up, instance)", "refId": "instance"},
            "refresh": 2,
            "sort": 1,
            "current": {},
        },
    ]


def _annotation(name: str, expression: str, colour: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": _SOURCE,
        "enable": True,
        "expr": _on_server(expression),
        "step": "15s",
        "titleFormat": name,
        "iconColor": colour,
    }


def _laid_out() -> list[dict[str, Any]]:
    made, x, y = [], 0, 0
    for number, panel in enumerate(_PANELS, start=1):
        if x + panel["width"] > _WIDTH:
            x, y = 0, y + _HEIGHT
        place = {"x": x, "y": y, "w": panel["width"], "h": _HEIGHT}
        made.append(_panel(number, panel, place))
        x += panel["width"]
    return made


def _panel(number: int, panel: Mapping[str, Any], place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {"drawStyle": "line", "fillOpacity": 0, "showPoints": "never"}
    if panel.get("stack"):
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    defaults: dict[str, Any] = {"unit": panel["unit"], "min": 0, "custom": custom}
    if "threshold" in panel:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        steps = [{"color": "text", "value": None}, {"color": "red", "value": panel["threshold"]}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel["description"],
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": defaults,
            "overrides": [_line(name) for name in panel.get("lines", ())],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": _on_server(expression),
                "legendFormat": legend,
            }
            for index, (legend, expression) in enumerate(panel["targets"].items())
        ],
    }


def _line(name: str) -> dict[str, Any]:
    """A limit: a dashed line beside the stack."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": "custom.stacking", "value": {"mode": "none"}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 4]}},
        ],
    }


def _on_server(expression: str) -> str:
    server = 'instance="$instance"'
    asked = _NAME.sub(rf"\g<0>{{{server}}}", expression)
    return asked.replace("}{", ",")
