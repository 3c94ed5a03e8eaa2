"""
What Redis's settings mean for conversations, which of them differ, and which have no effect.

Pure functions over what CONFIG GET answers. No client and no server enters, so that whoever reads a
run may ask the same questions of the settings that were recorded with it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from workbench.units import format_bytes

__all__ = [
    "NEWER_THAN_7_0",
    "OF_THE_PLACE",
    "SECRETS",
    "DeadSetting",
    "Difference",
    "Meaning",
    "Severity",
    "dead_settings",
    "differences",
    "is_alias",
    "of_the_place",
    "shown",
    "without_secrets",
]

Severity = Literal["critical", "warning", "info"]
Config = Mapping[str, str]

SECRETS: Final = frozenset(
    {"requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"}
)
"""Settings whose values are shown to nobody."""

OF_THE_PLACE: Final = frozenset(
    {
        *("aclfile", "bind", "bind-source-addr", "daemonize", "dir", "include", "loadmodule"),
        *("logfile", "masteruser", "pidfile", "port", "primaryuser", "primaryauth", "masterauth"),
        *("rename-command", "replicaof", "requirepass", "slaveof", "primaryof", "socket-mark-id"),
        *("supervised", "unixsocket", "unixsocketgroup", "unixsocketperm", "user"),
        *("availability-zone", "hash-seed", "locale-collate", "proc-title-template"),
    }
)
"""
Settings of the place a server runs at: files, addresses, logins, other servers. They say nothing of
conversations, differ from place to place, and reach outside the folder of a trial.
"""

_PLACES: Final = ("cluster-", "rdma-", "replica-announce", "syslog-", "tls-")

NEWER_THAN_7_0: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("cluster-announce-human-nodename", "locale-collate", "set-max-listpack-entries"),
            "set-max-listpack-value",
        ),
        "Redis 7.2",
    ),
    **dict.fromkeys(
        (
            *("hide-user-data-from-log", "max-new-connections-per-cycle"),
            "max-new-tls-connections-per-cycle",
        ),
        "Redis 7.4",
    ),
    **dict.fromkeys(
        (
            *("active-defrag-cycle-us", "aof-rewrite-cpulist", "availability-zone"),
            *("bgsave-cpulist", "bio-cpulist", "cluster-announce-client-ipv4"),
            *("cluster-announce-client-ipv6", "cluster-blacklist-ttl", "cluster-databases"),
            *("cluster-manual-failover-timeout", "extended-redis-compatibility", "hash-seed"),
            *("cluster-slot-stats-enabled", "commandlog-execution-slower-than"),
            *("commandlog-large-reply-max-len", "commandlog-large-request-max-len"),
            *("commandlog-reply-larger-than", "commandlog-request-larger-than"),
            *("commandlog-slow-execution-max-len", "dual-channel-replication-enabled"),
            *("import-mode", "log-format", "log-timestamp-format", "mptcp"),
            *("prefetch-batch-max-size", "primaryauth", "primaryof", "primaryuser", "rdma-bind"),
            *("rdma-port", "rdb-version-check", "repl-mptcp", "server-cpulist"),
            *("tls-auth-clients-user", "tls-auto-reload-interval", "unixsocketgroup"),
        ),
        "Valkey 9.1",
    ),
}
"""
Directives that Redis 7.0.15 does not know, and what knows them: Valkey 9.1.2's CONFIG GET against
Redis 7.0.15's, and for the first two groups the releases that brought them.
"""

_SIZES: Final = frozenset(
    {
        *("active-defrag-ignore-bytes", "auto-aof-rewrite-min-size", "client-query-buffer-limit"),
        *("maxmemory", "maxmemory-clients", "proto-max-bulk-len", "repl-backlog-size"),
    }
)


@dataclass(frozen=True, slots=True)
class DeadSetting:
    """
    A setting that has no effect beside the others.

    Attributes:
        name, value: as CONFIG GET has them.
        says: why, in a sentence.
    """

    name: str
    value: str
    says: str


@dataclass(frozen=True, slots=True)
class Difference:
    """
    A setting that is not the documented one.

    Attributes:
        name: of the setting.
        here, documented: its values.
        severity: ``info`` where the values are all that is known.
        says: what it means for conversations; empty where the values are all that is known.
    """

    name: str
    here: str
    documented: str
    severity: Severity
    says: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """
    What another value of a setting means for conversations kept in Redis.

    Attributes:
        severity, says: of any value that nothing below tells of.
        values: of some values, what they mean.
        less, more: of a number below, or above, the documented one.
    """

    severity: Severity
    says: str = ""
    values: Mapping[str, tuple[Severity, str]] | None = None
    less: tuple[Severity, str] | None = None
    more: tuple[Severity, str] | None = None

    def of(self, here: str, documented: str) -> tuple[Severity, str]:
        """How grave it is that the value is not the documented one, and what it means."""
        if self.values and here in self.values:
            return self.values[here]
        if here.isdecimal() and documented.isdecimal():
            told = self.less if int(here) < int(documented) else self.more
            if told:
                return told
        return self.severity, self.says


_SILENT: Final = "under the cap a conversation goes without a word, whether or not it still goes on"

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "maxmemory": Meaning(
        "warning",
        values={
            "0": (
                "critical",
                "There is no cap: the server grows until the kernel ends it, and then every "
                "conversation waits until the AOF is read again.",
            )
        },
        less=("warning", "Fewer conversations fit, so they are evicted earlier."),
        more=(
            "warning",
            "More conversations fit, if the container has the memory: for the cap, and for what a "
            "fork copies during an AOF rewrite. If it has not, the kernel ends the server.",
        ),
    ),
    "maxmemory-policy": Meaning(
        "warning",
        values={
            "noeviction": (
                "warning",
                "At the cap nothing is evicted and every write is refused (OOM): a conversation "
                "that is there is kept, and none goes on.",
            ),
            "allkeys-lru": ("warning", f"The longest unused goes first; {_SILENT}."),
            "allkeys-lfu": (
                "warning",
                f"The least often used goes first, so a new conversation before an old one; "
                f"{_SILENT}.",
            ),
            "allkeys-random": (
                "warning",
                f"Any conversation may go, one in use as well; {_SILENT}.",
            ),
            "volatile-lru": (
                "warning",
                "Only keys with a time to live are evicted. If none has one, every write is "
                "refused at the cap (OOM).",
            ),
            "volatile-lfu": (
                "warning",
                "Only keys with a time to live are evicted, the least often used first. If none "
                "has one, every write is refused at the cap (OOM).",
            ),
            "volatile-random": (
                "warning",
                "Any key with a time to live may go, one in use as well. If none has one, every "
                "write is refused at the cap (OOM).",
            ),
            "volatile-ttl": (
                "warning",
                "The conversation nearest to its expiry goes first, whether or not it is in use. "
                "If no key has a time to live, every write is refused at the cap (OOM).",
            ),
        },
    ),
    "maxmemory-samples": Meaning(
        "info",
        "How well LRU is imitated: with more samples the evicted conversation is more surely the "
        "longest unused, for more processor time.",
    ),
    "maxmemory-eviction-tenacity": Meaning(
        "info",
        "How long an eviction may hold up answers: with less, memory stands above the cap for "
        "longer; with more, turns wait.",
    ),
    "maxmemory-clients": Meaning(
        "info",
        "Clients whose buffers take more than this together are cut off, before their buffers "
        "have conversations evicted.",
    ),
    "appendonly": Meaning(
        "info",
        values={
            "no": (
                "critical",
                "Nothing is logged: a restart loses every conversation, or goes back to the last "
                "snapshot if there is one.",
            ),
            "yes": ("info", "Every write is logged, so that a restart keeps the conversations."),
        },
    ),
    "appendfsync": Meaning(
        "warning",
        values={
            "always": (
                "warning",
                "Every write waits for the disk before it is answered: no turn that was answered "
                "is lost, and each takes as long as the disk.",
            ),
            "no": (
                "warning",
                "The kernel chooses when to write: a power cut loses what was answered for up to "
                "some 30 s.",
            ),
            "everysec": ("warning", "A power cut loses what was answered for a second or two."),
        },
    ),
    "no-appendfsync-on-rewrite": Meaning(
        "info",
        values={
            "yes": (
                "warning",
                "Nothing is synced while the AOF is rewritten: a power cut then loses what was "
                "answered for up to some 30 s, whatever appendfsync says.",
            )
        },
    ),
    "auto-aof-rewrite-percentage": Meaning(
        "info",
        "How much the AOF grows before it is rewritten: a rewrite forks, and a longer AOF takes "
        "longer to read at a restart.",
        values={
            "0": (
                "warning",
                "The AOF is never rewritten: it grows until the disk is full, and then every "
                "write is refused. A restart reads all of it.",
            )
        },
    ),
    "auto-aof-rewrite-min-size": Meaning(
        "info",
        less=("info", "A smaller AOF is rewritten already: more forks, each with its copies."),
        more=("info", "Fewer rewrites, so fewer forks; a restart reads a longer AOF."),
    ),
    "aof-load-truncated": Meaning(
        "info",
        values={
            "no": (
                "warning",
                "After a crash in the middle of a write the server does not start until "
                "redis-check-aof --fix was run: nobody gets an answer until then.",
            )
        },
    ),
    "aof-use-rdb-preamble": Meaning(
        "info",
        values={
            "no": (
                "info",
                "The base of the AOF is commands, without a checksum: longer, slower to read at a "
                "restart, and a damaged byte goes unseen.",
            )
        },
    ),
    "save": Meaning(
        "warning",
        "Snapshots are taken: each forks, with its copies beside the cap; and one that fails has "
        "every write refused, unless stop-writes-on-bgsave-error is no.",
        values={
            "": ("warning", "No snapshots: what is kept over a restart is what the AOF has."),
        },
    ),
    "stop-writes-on-bgsave-error": Meaning(
        "info",
        values={
            "yes": ("warning", "A snapshot that fails has every write refused until one succeeds."),
            "no": (
                "warning",
                "A snapshot that fails stops no write; that there is none shows only in INFO.",
            ),
        },
    ),
    "min-replicas-to-write": Meaning(
        "info",
        more=(
            "critical",
            "Without so many replicas in touch every write is refused (NOREPLICAS): no "
            "conversation goes on.",
        ),
    ),
    "lazyfree-lazy-eviction": Meaning(
        "info", "Whether what was evicted is freed in another thread; it matters for large values."
    ),
    "lazyfree-lazy-expire": Meaning(
        "info", "Whether what expired is freed in another thread; it matters for large values."
    ),
    "active-expire-effort": Meaning(
        "info",
        "How soon expired conversations give their memory back: with less effort they take room "
        "from those that go on.",
    ),
    "hz": Meaning(
        "info", "How often expired conversations are looked for, and idle connections closed."
    ),
    "timeout": Meaning(
        "info",
        "Idle connections are closed after so many seconds; a client must notice, and connect "
        "again, or its next turn fails.",
    ),
    "maxclients": Meaning(
        "info",
        "More connections are accepted.",
        less=("warning", "Fewer connections are accepted: above that a turn is refused at once."),
    ),
    "client-output-buffer-limit": Meaning(
        "info",
        "How much a slow reader may leave unread. Such buffers count towards the cap, so they "
        "have conversations evicted.",
    ),
    "notify-keyspace-events": Meaning(
        "info",
        "Changes of keys are published: each costs processor time, most in a storm of evictions.",
    ),
    "latency-monitor-threshold": Meaning(
        "info", "From how many milliseconds on slow events are kept for LATENCY; 0 keeps none."
    ),
    "slowlog-log-slower-than": Meaning(
        "info", "From how many microseconds on commands are kept in SLOWLOG, with their values."
    ),
    "protected-mode": Meaning(
        "info",
        "Whoever reaches the port may read every conversation, unless a password is asked for. "
        "The official images are built so.",
    ),
    "disable-thp": Meaning(
        "info",
        values={
            "no": (
                "warning",
                "With transparent huge pages a write during a rewrite copies 2 MiB instead of "
                "4 KiB: more memory beside the cap, and slower turns.",
            )
        },
    ),
    "databases": Meaning("info", "Another number of databases; conversations are in one of them."),
    "io-threads": Meaning("info", "Threads that read and write sockets; commands stay in one."),
}


@dataclass(frozen=True, slots=True)
class _Dead:
    """Settings, with their defaults, that have no effect where ``when`` holds."""

    defaults: Mapping[str, str]
    when: Callable[[Config], bool]
    says: str


def _is(name: str, *values: str) -> Callable[[Config], bool]:
    return lambda config: config.get(name) in values


def _policy_is_not(part: str) -> Callable[[Config], bool]:
    return lambda config: part not in config.get("maxmemory-policy", part)


_OF_EVICTION: Final = {
    "maxmemory-samples": "5",
    "maxmemory-eviction-tenacity": "10",
    "lazyfree-lazy-eviction": "no",
}

# The defaults are those of CONFIG GET, Redis 7.0.15 without a configuration.
_DEAD: Final = (
    # Redis looks at it only if there are save points (writeCommandsDeniedByDiskError in server.c);
    # with AOF errors writes were refused with it at no, on 7.0.15 and on Valkey 9.1.2.
    _Dead(
        {"stop-writes-on-bgsave-error": "yes"},
        _is("save", ""),
        'it is looked at only where there are save points, and save is "". A write or a sync of '
        "the AOF that fails has writes refused whatever it says",
    ),
    _Dead(
        {
            "appendfsync": "everysec",
            "no-appendfsync-on-rewrite": "no",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "67108864",
            "aof-load-truncated": "yes",
        },
        _is("appendonly", "no"),
        "appendonly is no: there is no AOF",
    ),
    _Dead(
        {"auto-aof-rewrite-min-size": "67108864"},
        _is("auto-aof-rewrite-percentage", "0"),
        "auto-aof-rewrite-percentage is 0: the AOF is never rewritten by itself",
    ),
    _Dead(
        {"no-appendfsync-on-rewrite": "no"},
        _is("appendfsync", "no"),
        "appendfsync is no: nothing is synced, at a rewrite or not",
    ),
    _Dead(
        {"maxmemory-policy": "noeviction", **_OF_EVICTION},
        _is("maxmemory", "0"),
        "maxmemory is 0: there is no cap, so nothing is evicted",
    ),
    _Dead(
        _OF_EVICTION,
        _is("maxmemory-policy", "noeviction"),
        "maxmemory-policy is noeviction: nothing is evicted",
    ),
    _Dead(
        {"maxmemory-samples": "5"},
        _is("maxmemory-policy", "allkeys-random", "volatile-random"),
        "maxmemory-policy takes any key at random: nothing is sampled",
    ),
    _Dead(
        {"lfu-log-factor": "10", "lfu-decay-time": "1"},
        _policy_is_not("lfu"),
        "maxmemory-policy is not one of LFU",
    ),
    _Dead(
        {"maxmemory-clients": "0"},
        _is("maxmemory-clients", "0"),
        "0 is the default, and sets no limit: clients' buffers may take the room of conversations",
    ),
    _Dead(
        {"maxmemory-clients": "0"},
        lambda config: (
            config.get("maxmemory") == "0" and config.get("maxmemory-clients", "").endswith("%")
        ),
        "it is a share of maxmemory, which is 0",
    ),
    _Dead(
        {
            "active-defrag-ignore-bytes": "104857600",
            "active-defrag-threshold-lower": "10",
            "active-defrag-threshold-upper": "100",
            "active-defrag-cycle-min": "1",
            "active-defrag-cycle-max": "25",
            "active-defrag-max-scan-fields": "1000",
        },
        _is("activedefrag", "no"),
        "activedefrag is no",
    ),
    _Dead({"io-threads-do-reads": "no"}, _is("io-threads", "1"), "io-threads is 1"),
    _Dead({"oom-score-adj-values": "0 200 800"}, _is("oom-score-adj", "no"), "oom-score-adj is no"),
    _Dead(
        {"latency-tracking-info-percentiles": "50 99 99.9"},
        _is("latency-tracking", "no"),
        "latency-tracking is no",
    ),
    _Dead(
        {"slowlog-max-len": "128"},
        _is("slowlog-log-slower-than", "-1"),
        "slowlog-log-slower-than is -1: nothing is kept",
    ),
    _Dead(
        {"slowlog-log-slower-than": "10000"},
        _is("slowlog-max-len", "0"),
        "slowlog-max-len is 0: nothing is kept",
    ),
)


def dead_settings(config: Config, *, named: Collection[str] = ()) -> list[DeadSetting]:
    """
    The settings that somebody chose, and that have no effect beside the others.

    One that has its default was chosen only if it is ``named``; a default that has no effect is
    nobody's mistake. Where a setting that decides is not in ``config``, nothing is said.

    Args:
        config: as CONFIG GET answers.
        named: the settings that a file or a command line names.
    """
    found: dict[str, DeadSetting] = {}
    for each in _DEAD:
        if not each.when(config):
            continue
        for name, default in each.defaults.items():
            if name in config and name not in found and (name in named or config[name] != default):
                found[name] = DeadSetting(name, config[name], each.says)
    return list(found.values())


def differences(here: Config, documented: Config) -> list[Difference]:
    """
    What differs between two servers' settings, the gravest first.

    Settings of the place, second names, and settings that only one of the two knows are left out.

    Args:
        here: as CONFIG GET answers.
        documented: likewise.
    """
    found = []
    for name in sorted(here.keys() & documented.keys()):
        if here[name] == documented[name] or of_the_place(name) or is_alias(name):
            continue
        severity, says = _MEANINGS.get(name, Meaning("info")).of(here[name], documented[name])
        found.append(Difference(name, here[name], documented[name], severity, says))
    order = ("critical", "warning", "info")
    return sorted(found, key=lambda each: (order.index(each.severity), not each.says))


def of_the_place(name: str) -> bool:
    """Whether a setting is of the place a server runs at: a file, an address, a login."""
    return name in OF_THE_PLACE or name.startswith(_PLACES)


def is_alias(name: str) -> bool:
    """Whether a name is the second one of a setting that CONFIG GET shows under another as well."""
    return "slave" in name or "ziplist" in name or name == "lua-time-limit"


def without_secrets(config: Mapping[str, str]) -> dict[str, str]:
    """The settings without the values of passwords."""
    return {name: value for name, value in config.items() if name not in SECRETS}


def shown(name: str, value: str) -> str:
    """A value for people: ``512 MiB``, ``""``."""
    if name in _SIZES and value.isdecimal() and value != "0":
        return format_bytes(int(value))
    return value or '""'
