"""Cases of the rules on snapshots: healthy, failing, unknown, and where they do not apply."""

from tests.frames import snapshot
from workbench.runs.snapshot import Clients, KeysOfPrefix, LatencyEvent, SlowCommand

__all__ = ["LOOK_CASES"]

MIB = 1024**2
LARGE = 200 * MIB
SAMPLED = {"experiment": {"scenario": ""}, "operations": [], "generator": []}
FAR = {"host": None}
REFUSED = {"without": [], "refused": {"config|get": "NOPERM"}}


def at_end(first=None, *, until_s=10.0, sampled=False, **last):
    """Two looks; what is named differs at the end, and ``first`` at the start."""
    found = {"snapshots": [snapshot(0.0, **(first or {})), snapshot(until_s, **last)]}
    return found | SAMPLED if sampled else found


def info(*, sampled=False, until_s=10.0, **fields):
    """Two looks with these fields of INFO at the end."""
    return at_end(info=fields, sampled=sampled, until_s=until_s)


def config(**settings):
    """Two looks with these settings; an underscore stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    return at_end({"config": named}, config=named)


def lacks(*names, **others):
    """A server that has no such field or setting."""
    return at_end({"without": names}, without=names, **others)


ONCE = {"snapshots": [snapshot(10.0)]}
RESTARTED = at_end(info={"run_id": "second"})  # just now
LATELY = at_end(
    {"info": {"evicted_keys": 50, "total_eviction_exceeded_time": 900}},
    info={"run_id": "second", "uptime_in_seconds": 5},
)
NO_CONFIG = {"snapshots": [snapshot(at, refused={"config|get": "NOPERM"}) for at in (0.0, 10.0)]}
for _look in NO_CONFIG["snapshots"]:
    _look.config.clear()
FULL = {"used_memory": 5 * MIB, "aof_last_cow_size": MIB // 4}
NO_AOF = info(aof_enabled=0)
SEEN_KEYS = KeysOfPrefix(
    keys=500,
    without_ttl=0,
    bytes_p50=2_600,
    bytes_max=9_700,
    ttl_s_p50=200.0,
    expiring_in_one_s_share=0.02,
    idle_s_p10=5.0,
    idle_s_p50=100.0,
    idle_s_p90=400.0,
)


def keys(*, evicted=0, policy="allkeys-lru", **differing):
    """Looked at 500 keys, some of them otherwise."""
    import msgspec

    found = msgspec.structs.replace(SEEN_KEYS, **differing)
    fields = {"evicted_keys": evicted, "maxmemory_policy": policy}
    return at_end(info=fields, keys={"channel": found}, sampled=True)


def growing(bytes_per_s, seconds=60):
    """Memory that grows, sampled every second."""
    polls = [
        {"elapsed_s": float(at), "used_memory": 2 * MIB + bytes_per_s * at}
        for at in range(seconds + 1)
    ]
    last = {"used_memory": polls[-1]["used_memory"]}
    return at_end(info=last, until_s=float(seconds), sampled=True) | {"samples": polls}


TRUNCATED = (
    "1:M 26 Nov 2026 10:00:00.000 # AOF x.aof loaded anyway because aof-load-truncated is enabled\n"
)
LONG_AGO = LatencyEvent(unix_s=1_699_999_000, latest_ms=400, max_ms=400)
SHORT_SINCE = LatencyEvent(unix_s=1_700_000_005, latest_ms=20, max_ms=400)
CALM_LOG = "1:M 26 Nov 2026 10:00:00.000 * DB loaded from append only file: 0.000 seconds\n"
ODD = "1:M 26 Nov 2026 10:00:00.000 # Possible SECURITY ATTACK detected.\n"


def begun(ttl_s):
    """A server of a minute, whose memory grows, full in about half an hour."""
    fields = {
        "used_memory": 3 * MIB,
        "uptime_in_seconds": 60,
        "db0": {"keys": 9, "expires": 9, "avg_ttl": 1000 * ttl_s},
    }
    return growing(1000) | {"snapshots": [snapshot(0.0), snapshot(60.0, info=fields)]}


SLOW = [
    SlowCommand(number=at, unix_s=1_700_000_003, duration_us=20_000, command="HGETALL")
    for at in range(4)
]
LATER = SlowCommand(number=100, unix_s=1_700_000_500, duration_us=20_000, command="SORT")
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
WAITING = [{**second, "turns_waiting": 5 if second["elapsed_s"] > 5 else 0} for second in SECONDS]


def event(name, latest_ms, *, unix_s=1_700_000_005):
    return at_end(
        latency={name: LatencyEvent(unix_s=unix_s, latest_ms=latest_ms, max_ms=latest_ms)}
    )


def exposed(**others):
    """A server that listens to every address."""
    settings = {"bind": "* -::*", "protected-mode": "no"}
    return at_end({"config": settings}, config=settings, **others)


def asked(**experiment):
    return {**SAMPLED, "experiment": {"scenario": "", **experiment}}


LOOK_CASES = {
    "huge-pages": {
        "pass": [{}, at_end(host={"transparent_hugepage": "always"})],
        "fail": [
            at_end(host={"transparent_hugepage": "always", "anon_huge_bytes": MIB}),
            at_end(host={"transparent_hugepage": "always"}, config={"disable-thp": "no"}),
        ],
        "unknown": [at_end(**FAR), at_end(host={"transparent_hugepage": None})],
    },
    "fork-slow": {
        "pass": [{}, info(latest_fork_usec=19_000, used_memory_rss=64 * MIB)],
        "fail": [
            info(latest_fork_usec=100_001),
            info(latest_fork_usec=30_000, used_memory_rss=LARGE),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [info(latest_fork_usec=0), lacks("latest_fork_usec")],
    },
    "swapped": {
        "pass": [{}, at_end(info={"used_memory": LARGE, "used_memory_rss": LARGE - MIB}, **FAR)],
        "fail": [at_end(host={"swap_bytes": 2 * MIB})],
        "unknown": [
            at_end(**FAR),
            at_end(info={"used_memory": LARGE, "used_memory_rss": LARGE // 2}, **FAR),
        ],
    },
    "accept-backlog": {
        "pass": [{}],
        "fail": [at_end(host={"somaxconn": 128})],
        "unknown": [at_end(**FAR), NO_CONFIG],
    },
    "oom-victim": {
        "pass": [{}],
        "fail": [config(oom_score_adj="no")],
        "unknown": [at_end(**FAR)],
        "not applicable": [at_end(host={"memory_limit_source": "RAM"})],
    },
    "no-maxmemory": {
        "pass": [{}],
        "fail": [info(maxmemory=0)],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("maxmemory")],
    },
    "cap-near-limit": {
        "pass": [
            {},
            at_end(**FAR) | {"experiment": {"memory_limit_bytes": 10 * MIB}},
            at_end(info={"aof_enabled": 0}, host={"memory_limit_bytes": 6 * MIB}),
            # A rewrite of a full server was seen to copy little.
            at_end(info=FULL, host={"memory_limit_bytes": 6 * MIB}),
        ],
        "fail": [
            at_end(host={"memory_limit_bytes": 5 * MIB}),
            at_end(host={"memory_limit_bytes": 6 * MIB}, info={"used_memory": MIB}),
            at_end(info={"mem_clients_normal": 95 * MIB}),
            {"experiment": {"memory_limit_bytes": 5 * MIB}},
        ],
        "unknown": [at_end(**FAR)],
        "not applicable": [info(maxmemory=0)],
    },
    "cow-headroom": {
        "pass": [{}],
        "fail": [at_end(host={"memory_limit_bytes": 6_500_000}, info={"aof_last_cow_size": MIB})],
        "unknown": [at_end(**FAR)],
        "not applicable": [info(aof_last_cow_size=0)],
    },
    "oom-killed": {
        "pass": [{}],
        "fail": [at_end(host={"oom_kills": 1})],
        "unknown": [at_end(**FAR), at_end(host={"oom_kills": None})],
        "not applicable": [at_end(host={"memory_limit_source": "RAM"})],
    },
    "aof-buffer": {
        "pass": [{}],
        "fail": [info(mem_aof_buffer=16 * MIB), info(aof_buffer_length=20 * MIB)],
        "unknown": [{"snapshots": []}],
        "not applicable": [NO_AOF],
    },
    "over-cap": {
        "pass": [{}, info(total_eviction_exceeded_time=100), LATELY],
        "fail": [
            info(total_eviction_exceeded_time=101),
            info(current_eviction_exceeded_time=1001),
        ],
        "unknown": [
            ONCE,
            RESTARTED,
            at_end({"info": {"total_eviction_exceeded_time": 5}}),  # CONFIG RESETSTAT
        ],
        "not applicable": [
            lacks("total_eviction_exceeded_time"),
            info(maxmemory_policy="noeviction", current_eviction_exceeded_time=9999),
        ],
    },
    "time-to-full": {
        "pass": [growing(0), growing(10)],
        "fail": [growing(1000), begun(3600)],  # full before the first of them expires
        "unknown": [growing(1000, seconds=20), begun(30)],
        "not applicable": [
            {},
            info(sampled=True, used_memory=5 * MIB),
            info(sampled=True, maxmemory=0),
        ],
    },
    "fragmentation": {
        "pass": [info(used_memory=LARGE)],
        "fail": [
            info(used_memory=LARGE, mem_fragmentation_ratio=1.5, mem_fragmentation_bytes=LARGE),
            info(used_memory=LARGE, allocator_frag_ratio=1.2, allocator_frag_bytes=40 * MIB),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, lacks("mem_fragmentation_ratio", info={"used_memory": LARGE})],
    },
    "memory-peak": {
        "pass": [
            info(used_memory=LARGE, used_memory_peak=LARGE),
            info(used_memory=LARGE, used_memory_peak=2 * LARGE, used_memory_rss=LARGE),
        ],
        "fail": [
            info(used_memory=LARGE, used_memory_peak=2 * LARGE, used_memory_rss=2 * LARGE),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}],
    },
    "memory-overhead": {
        "pass": [info(used_memory=LARGE)],
        "fail": [info(used_memory=LARGE, used_memory_overhead=LARGE // 2)],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, info(used_memory=LARGE, used_memory_overhead=2 * LARGE)],
    },
    "impossible-memory": {
        "pass": [{}],
        "fail": [
            info(used_memory_overhead=6 * MIB),
            info(used_memory_dataset_perc="37870467284992.00%"),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("used_memory_overhead")],
    },
    "script-cache": {
        "pass": [info(number_of_cached_scripts=1000)],
        "fail": [info(number_of_cached_scripts=1001)],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("number_of_cached_scripts")],
    },
    "evictions": {
        "pass": [info(sampled=True), LATELY | SAMPLED],
        "fail": [info(sampled=True, evicted_keys=1)],
        "unknown": [ONCE | SAMPLED, RESTARTED | SAMPLED],
        "not applicable": [info(evicted_keys=1)],
    },
    "age-at-eviction": {
        "pass": [keys(evicted=9)],
        "fail": [keys(evicted=9, idle_s_p90=299.0)],
        "unknown": [keys(evicted=9, idle_s_p90=None), info(sampled=True, evicted_keys=9)],
        "not applicable": [
            {},
            keys(idle_s_p90=299.0),
            keys(evicted=9, policy="allkeys-lfu", idle_s_p90=None),
        ],
    },
    "evicted-not-expired": {
        "pass": [info(sampled=True, until_s=60.0, evicted_keys=9, expired_keys=9)],
        "fail": [info(sampled=True, until_s=60.0, evicted_keys=9, expired_keys=8)],
        "unknown": [info(sampled=True, evicted_keys=9), ONCE | SAMPLED],
        "not applicable": [
            {},
            info(sampled=True, until_s=60.0),
            info(sampled=True, until_s=60.0, evicted_keys=9, db0={"keys": 9, "expires": 0}),
        ],
    },
    "volatile-without-ttl": {
        "pass": [
            info(maxmemory_policy="volatile-lru"),
            info(maxmemory_policy="volatile-lru", db0={"keys": 99, "expires": 0}),
            # Settings without a time to live beside sessions that have one, far from the cap.
            info(
                maxmemory_policy="volatile-lru",
                db0={"keys": 1000, "expires": 90},
                used_memory=MIB,
            ),
            at_end(
                {"info": {"errorstat_OOM": {"count": 1}}},
                info={"maxmemory_policy": "volatile-ttl", "errorstat_OOM": {"count": 1}},
            ),
        ],
        "fail": [
            info(maxmemory_policy="volatile-lru", db0={"keys": 1000, "expires": 0}),
            info(
                maxmemory_policy="volatile-lru",
                db0={"keys": 1000, "expires": 99},
                used_memory=5 * MIB,
            ),
            info(maxmemory_policy="volatile-ttl", errorstat_OOM={"count": 1}),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, info(maxmemory_policy="volatile-lru", maxmemory=0)],
    },
    "refuses-when-full": {
        "pass": [info(maxmemory_policy="noeviction")],
        "fail": [info(maxmemory_policy="noeviction", used_memory=5 * MIB)],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, info(maxmemory_policy="noeviction", maxmemory=0)],
    },
    "lazy-free": {
        "pass": [{}, config(lazyfree_lazy_eviction="no")],
        "fail": [
            at_end(
                config={"lazyfree-lazy-eviction": "no"},
                latency={"eviction-del": LatencyEvent(unix_s=1_700_000_005, latest_ms=6, max_ms=6)},
            ),
        ],
        "unknown": [NO_CONFIG],
    },
    "expire-lag": {
        "pass": [
            info(expired_stale_perc=10.0),
            info(expired_stale_perc=58.0, db0={"keys": 1, "expires": 1}),
        ],
        "fail": [info(expired_stale_perc=10.1), info(expired_time_cap_reached_count=1)],
        "unknown": [ONCE],
        "not applicable": [lacks("expired_stale_perc")],
    },
    "expiry-cliff": {
        "pass": [keys(), keys(expiring_in_one_s_share=0.49)],  # 490 of all 1,000 keys
        "fail": [keys(expiring_in_one_s_share=0.5)],
        "unknown": [info(sampled=True)],
        "not applicable": [
            {},
            keys(keys=49, expiring_in_one_s_share=1.0),
            keys(ttl_s_p50=1.5, expiring_in_one_s_share=1.0),  # a rate limiter
        ],
    },
    "expire-hz": {
        "pass": [{}, lacks("dynamic-hz"), config(hz="100", dynamic_hz="no")],
        "fail": [config(hz="1")],
        "unknown": [NO_CONFIG],
    },
    "persistence-off": {
        "pass": [
            {},
            at_end(config={"save": "3600 1", "appendonly": "no"}, info={"aof_enabled": 0}),
            NO_AOF,  # which it says while it loads
        ],
        "fail": [at_end(config={"appendonly": "no"}, info={"aof_enabled": 0})],
        "unknown": [NO_CONFIG],
    },
    "snapshot-save": {
        "pass": [{}],
        "fail": [
            info(rdb_last_bgsave_status="err"),
            at_end(config={"save": "3600 1"}, info={"rdb_last_bgsave_status": "err"}),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("rdb_last_bgsave_status")],
    },
    "replica-link": {
        "pass": [
            info(role="slave", master_link_status="up"),
            info(role="slave", master_link_status="down", master_sync_in_progress=1),
        ],
        "fail": [
            info(role="slave", master_link_status="down", master_link_down_since_seconds=9),
        ],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, info(role="slave")],
    },
    "rewrite-storm": {
        "pass": [info(until_s=1200.0, aof_rewrites=2)],
        "fail": [
            info(until_s=1200.0, aof_rewrites=3),
            info(until_s=1200.0, aof_rewrites=1, aof_last_rewrite_time_sec=241),
        ],
        "unknown": [ONCE],
        "not applicable": [{}, NO_AOF],
    },
    "rewrite-never": {
        "pass": [
            {},
            info(aof_current_size=2 * LARGE, aof_base_size=LARGE),
            at_end(
                config={"auto-aof-rewrite-min-size": str(512 * MIB)},
                info={"aof_current_size": LARGE},
            ),
        ],
        "fail": [config(auto_aof_rewrite_percentage="0"), info(aof_current_size=LARGE)],
        "unknown": [NO_CONFIG],
        "not applicable": [NO_AOF],
    },
    "fsync-while-rewriting": {
        "pass": [{}],
        "fail": [config(no_appendfsync_on_rewrite="yes")],
        "unknown": [NO_CONFIG],
        "not applicable": [NO_AOF],
    },
    "appendfsync": {
        "pass": [
            {},
            config(appendfsync="always"),
            at_end(config={"appendfsync": "always"}, info={"cmdstat_get": {"calls": 90_000}}),
        ],
        "fail": [
            config(appendfsync="no"),
            at_end(config={"appendfsync": "always"}, info={"cmdstat_set": {"calls": 10_010}}),
        ],
        "unknown": [NO_CONFIG, {"snapshots": [snapshot(1.0, config={"appendfsync": "always"})]}],
        "not applicable": [NO_AOF],
    },
    "dead-settings": {
        "pass": [{}],
        "fail": [
            config(stop_writes_on_bgsave_error="no"),
            config(appendonly="no", appendfsync="no"),
            config(maxmemory_policy="noeviction", maxmemory_samples="10"),
            config(lfu_decay_time="5"),
        ],
        "unknown": [NO_CONFIG],
    },
    "error-patterns": {
        "pass": [{"log": CALM_LOG}, {"log": CALM_LOG + TRUNCATED}],  # which has a rule of its own
        "fail": [{"log": CALM_LOG + ODD}],
        "unknown": [{}],
    },
    "aof-truncated": {
        "pass": [{"log": "1:M 26 Nov 2026 10:00:00.000 * DB loaded from append only file\n"}],
        "fail": [{"log": TRUNCATED}],
        "unknown": [{}],
        "not applicable": [NO_AOF | {"log": TRUNCATED}],
    },
    "loading": {
        "pass": [{}],
        "fail": [info(loading=1), info(loading=1, loading_eta_seconds=3)],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("loading")],
    },
    "replication-buffers": {
        "pass": [
            info(connected_slaves=1),
            info(connected_slaves=1, mem_total_replication_buffers=MIB),  # the backlog itself
        ],
        "fail": [
            info(connected_slaves=1, mem_total_replication_buffers=2 * MIB),
            info(connected_slaves=1, master_repl_offset=MIB),
        ],
        "unknown": [{"snapshots": [snapshot(1.0, info={"connected_slaves": 1})]}],
        "not applicable": [{}],
    },
    "single-node": {
        "pass": [info(connected_slaves=1) | asked(profile="production")],
        "fail": [asked(profile="production")],
        "unknown": [{"snapshots": []}],
        "not applicable": [{}, asked(profile="development")],
    },
    "refused-clients": {
        "pass": [info(connected_clients=9000)],
        "fail": [info(rejected_connections=1), info(connected_clients=9001)],
        "unknown": [ONCE],
        "not applicable": [lacks("maxclients")],
    },
    "blocked-clients": {
        "pass": [{}, info(blocked_clients=1)],
        "fail": [at_end({"info": {"blocked_clients": 1}}, info={"blocked_clients": 1})],
        "unknown": [ONCE],
    },
    "idle-clients": {
        "pass": [{}],
        "fail": [
            at_end(
                clients=Clients(count=2000, idle_over_1h=1001, output_bytes_max=0, subscribers=0)
            ),
        ],
        "unknown": [at_end(clients=None), NO_CONFIG],
    },
    "output-limit": {
        "pass": [{}, config(client_output_buffer_limit="normal 0 0 0")],
        "fail": [config(client_output_buffer_limit="normal 0 0 0", maxmemory_clients="0")],
        "unknown": [NO_CONFIG],
    },
    "connection-churn": {
        "pass": [
            info(total_connections_received=109),
            # The documented health check, for ten minutes.
            info(
                until_s=600.0,
                total_connections_received=131,
                total_commands_processed=10_700,
            ),
            # A pool that was filled, and stays.
            info(
                total_connections_received=211,
                connected_clients=203,
                total_commands_processed=11_000,
            ),
        ],
        "fail": [info(total_connections_received=111, total_commands_processed=11_000)],
        "unknown": [ONCE],
    },
    "dropped-clients": {
        "pass": [{}],
        "fail": [
            info(evicted_clients=1),
            info(client_output_buffer_limit_disconnections=1),
        ],
        "unknown": [ONCE],
        "not applicable": [lacks("evicted_clients")],
    },
    "client-pool": {
        "pass": [{}],
        "fail": [
            {"generator": WAITING},
            {
                "experiment": {"pool": 4},
                "generator": [{**second, "slots_busy": 9} for second in SECONDS],
            },
        ],
        "unknown": [{"generator": SECONDS[:2]}, {"generator": []}],
        "not applicable": [
            {"generator": WAITING, "experiment": {"closed_loop": True}},
            SAMPLED,
        ],
    },
    "latency-tail": {
        "pass": [{}],
        "fail": [info(latency_percentiles_usec_get={"p99.9": 10_001.0})],
        "unknown": [{"snapshots": []}],
        "not applicable": [
            info(latency_percentiles_usec_get={"p99.9": 10_001.0}, cmdstat_get={"calls": 9_999}),
            lacks("latency_percentiles_usec_get"),
        ],
    },
    "latency-monitor": {
        "pass": [{}],
        "fail": [config(latency_monitor_threshold="0")],
        "unknown": [NO_CONFIG],
    },
    "slow-commands": {
        "pass": [{}, at_end({"slowlog": SLOW}, slowlog=SLOW), info(cmdstat_hgetall={"calls": 9})],
        "fail": [
            info(cmdstat_keys={"calls": 1}),
            at_end(slowlog=SLOW),
            # More came than the log is read for.
            at_end({"slowlog": SLOW[:1]}, until_s=600.0, slowlog=[LATER]),
        ],
        "unknown": [ONCE],
    },
    "cpu-bound": {
        "pass": [info(used_cpu_user_main_thread=9.0)],
        "fail": [
            info(used_cpu_user_main_thread=9.5, used_cpu_sys_main_thread=2.0),
            at_end(info={"used_cpu_user_main_thread": 3.4}, host={"cpu_limit_cores": 0.25}),
        ],
        "unknown": [ONCE],
        "not applicable": [lacks("used_cpu_user_main_thread")],
    },
    "latency-events": {
        "pass": [
            {},
            event("fork", 99),
            event("fork", 200, unix_s=1_699_999_000),
            at_end({"latency": {"fork": LONG_AGO}}, latency={"fork": SHORT_SINCE}),
        ],
        "fail": [event("fork", 100), at_end(latency={"fork": SHORT_SINCE})],
        "unknown": [NO_CONFIG],
        "not applicable": [config(latency_monitor_threshold="0")],
    },
    "misses": {
        "pass": [info(sampled=True, keyspace_hits=1100, keyspace_misses=200)],
        "fail": [info(sampled=True, keyspace_hits=1100, keyspace_misses=201)],
        "unknown": [ONCE | SAMPLED],
        "not applicable": [{}, info(sampled=True)],
    },
    "big-values": {
        "pass": [{}, keys()],
        "fail": [
            {"operations": [{"elapsed_s": 1.0, "value_bytes": 32 * 1024 + 1}] * 200},
            keys(bytes_max=33 * 1024),
        ],
        "unknown": [info(sampled=True)],
        "not applicable": [{"operations": []}, keys(bytes_max=None)],
    },
    "error-replies": {
        "pass": [info(total_error_replies=9, total_commands_processed=10_100)],
        "fail": [
            info(
                total_error_replies=11,
                total_commands_processed=11_000,
                errorstat_MISCONF={"count": 11},
            ),
        ],
        "unknown": [ONCE],
        "not applicable": [lacks("total_error_replies")],
    },
    "open-server": {
        "pass": [
            {},
            exposed(),
            at_end(config={"bind": "*"}, password_set=False),  # protected mode
        ],
        "fail": [exposed(password_set=False)],
        "unknown": [exposed(password_set=None), NO_CONFIG],
    },
    "dangerous-commands": {
        "pass": [
            {},
            exposed(default_user="-@all +@read +set"),
            exposed(default_user="+@all -@dangerous"),
            exposed(default_user="off"),
            at_end(config={"bind": "*"}, password_set=False),
        ],
        "fail": [
            exposed(default_user="+@all"),
            exposed(default_user="+@all -flushall"),
            exposed(default_user="-@all +@write"),  # which FLUSHALL is one of
        ],
        "unknown": [exposed(default_user=None), NO_CONFIG],
    },
    "health-check": {
        "pass": [asked(health_check="redis-cli -e ping"), asked(health_check="workbench health")],
        "fail": [asked(health_check="redis-cli ping"), asked(health_check="")],
        "unknown": [SAMPLED],
        "not applicable": [{}],
    },
    "outdated": {
        "pass": [
            {},
            info(redis_version="7.2.4", server_name="valkey", valkey_version="9.1.2"),
        ],
        "fail": [info(redis_version="7.0.15"), info(redis_version="6.2.1")],
        "unknown": [{"snapshots": []}],
        "not applicable": [lacks("redis_version")],
    },
    "keyspace-events": {
        "pass": [
            {},
            at_end(config={"notify-keyspace-events": "Ee"}, info={"pubsub_channels": 1}),
        ],
        "fail": [config(notify_keyspace_events="Ee")],
        "unknown": [NO_CONFIG],
    },
}
