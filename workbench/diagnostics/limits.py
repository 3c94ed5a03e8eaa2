"""
The limits at which rules fail, in one place: rules and the alerts made from them agree by that.

Where a limit is not a vendor's, it is an assumption, which the bench ``diagnosis`` holds against
faults and healthy servers.
"""

from typing import Final

from workbench.units import MIB

__all__ = [
    "ACCEPT_SHARE_MAX",
    "AOF_BUFFER_BYTES_MAX",
    "BIG_VALUE_BYTES",
    "CACHED_SCRIPTS_MAX",
    "CLIENTS_SHARE_MAX",
    "CONNECTIONS_PER_COMMAND_MAX",
    "COW_SHARE_MAX",
    "CPU_SHARE_MAX",
    "ERRORS_MIN",
    "ERRORS_SHARE_MAX",
    "EXCEEDED_MS_PER_S_MAX",
    "EXPIRING_AT_ONCE_SHARE_MAX",
    "FORK_MS_PER_GIB_MAX",
    "FORK_US_MAX",
    "FRAGMENTATION_RATIO_MAX",
    "FULL_SHARE",
    "LARGE_BYTES",
    "LATENCY_EVENT_MS_MAX",
    "MISSES_SHARE_MAX",
    "OVERHEAD_SHARE_MAX",
    "SESSION_TIMEOUT_S",
    "SLOW_COMMANDS_PER_S_MAX",
    "STALE_PERCENT_MAX",
    "TAIL_US_MAX",
    "TIME_TO_FULL_S_MIN",
    "WITHOUT_TTL_SHARE_MAX",
]

LARGE_BYTES: Final = 64 * MIB
"""Below this a server's own memory weighs so much that ratios of memory say nothing."""

FULL_SHARE: Final = 0.9
"""
Of maxmemory; a server that refuses rather than evicts has to be looked at from there on. And of
a container's memory, beyond which the kernel kills.
"""

FRAGMENTATION_RATIO_MAX: Final = 1.4
"""Resident over used memory (MEMORY DOCTOR)."""

OVERHEAD_SHARE_MAX: Final = 0.4
"""Of used_memory that is not data."""

CLIENTS_SHARE_MAX: Final = 0.1
"""Of maxmemory that clients' buffers take."""

COW_SHARE_MAX: Final = 0.5
"""Of the room between resident memory and the limit that a rewrite's copy took."""

AOF_BUFFER_BYTES_MAX: Final = 16 * MIB
"""Held in memory for the AOF; the cap does not count it."""

CACHED_SCRIPTS_MAX: Final = 1000
"""In the script cache (MEMORY DOCTOR)."""

EXCEEDED_MS_PER_S_MAX: Final = 10.0
"""Time over the cap that eviction could not make good."""

TIME_TO_FULL_S_MIN: Final = 24 * 3600.0
"""Until used_memory reaches maxmemory at the growth seen."""

FORK_US_MAX: Final = 100_000
"""Duration of a fork."""

FORK_MS_PER_GIB_MAX: Final = 100.0
"""Duration of a fork by resident memory (LATENCY DOCTOR: 10 GiB a second)."""

ACCEPT_SHARE_MAX: Final = 0.9
"""Connections of maxclients."""

CONNECTIONS_PER_COMMAND_MAX: Final = 0.1
"""New connections over commands."""

TAIL_US_MAX: Final = 10_000
"""p99.9 of a command, in the server."""

LATENCY_EVENT_MS_MAX: Final = 100
"""The longest event of the latency monitor."""

SLOW_COMMANDS_PER_S_MAX: Final = 0.1
"""New entries of SLOWLOG."""

CPU_SHARE_MAX: Final = 0.9
"""Of one core that the main thread took."""

MISSES_SHARE_MAX: Final = 0.5
"""Of reads that found nothing; each conversation begins with one."""

ERRORS_SHARE_MAX: Final = 0.01
"""Of commands that were answered by an error."""

ERRORS_MIN: Final = 10
"""So few errors are no share of anything."""

BIG_VALUE_BYTES: Final = 32 * 1024
"""One conversation with its key."""

STALE_PERCENT_MAX: Final = 10.0
"""Of keys looked at by the expiry cycle that had expired already (INFO expired_stale_perc)."""

EXPIRING_AT_ONCE_SHARE_MAX: Final = 0.25
"""Of keys with a time to live that expire within one second."""

WITHOUT_TTL_SHARE_MAX: Final = 0.05
"""Of keys that have no time to live."""

SESSION_TIMEOUT_S: Final = 300.0
"""How long a conversation is kept without a message: the documented time to live."""
