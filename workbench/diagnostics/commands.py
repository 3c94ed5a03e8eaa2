"""Commands: are they quick, are they answered, and what holds them up where they are not?"""

from workbench.analysis.documents import document_bytes
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.diagnostics.limits import (
    BIG_VALUE_BYTES,
    CPU_SHARE_MAX,
    ERRORS_MIN,
    ERRORS_SHARE_MAX,
    LATENCY_EVENT_MS_MAX,
    MISSES_SHARE_MAX,
    SLOW_COMMANDS_PER_S_MAX,
    TAIL_US_MAX,
)
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.runs.snapshot import LatencyEvent, SlowCommand
from workbench.units import format_bytes, format_duration, format_share

__all__ = [
    "big_values",
    "cpu_bound",
    "error_replies",
    "latency_events",
    "latency_monitor",
    "latency_tail",
    "misses",
    "slow_commands",
]

# Ten of them are beyond p99.9: of 1,000 calls it is the one that the machine held up.
_CALLS_MIN = 10_000
_SLOW_MIN = 3
_READS_MIN = 100
_WHOLE_KEYSPACE = ("keys", "flushall", "flushdb", "sort", "smembers", "hgetall", "lrange")
_ALWAYS_SLOW = frozenset({"keys", "flushall", "flushdb"})
_CAUSES = {
    "fork": "a fork for a rewrite or a snapshot",
    "eviction-cycle": "an eviction of many keys",
    "eviction-del": "the freeing of a large evicted value",
    "expire-cycle": "many keys that expired at once",
    "expire-del": "the freeing of a large expired value",
    "aof-write": "a write to the AOF that the disk took long for",
    "aof-write-pending-fsync": "a write to the AOF while an fsync was under way",
    "aof-write-active-child": "a write to the AOF while a child was at work on the disk",
    "aof-fstat": "a question to the file system",
    "aof-fsync-always": "an fsync for each write",
    "rdb-unlink-temp-file": "the removal of a large file",
    "command": "a slow command",
    "fast-command": "a command that should be fast: the machine itself was held up",
    "active-defrag-cycle": "defragmentation",
}


@rule(
    "latency-tail",
    title="Is one command in a thousand quick as well?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="one slow command holds up everybody's messages behind it",
    remedy=Remedy(
        redis_conf="none: see what held it up; latency-monitor-threshold 10 has it noted",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO latencystats, p99.9 since the server's start; the wait in the queue is not in it; "
    "10 ms is an assumption",
)
def latency_tail(run: Run) -> Judgement:
    """Fails when p99.9 of a command that was called 10,000 times or more is over 10 ms."""
    look = Look(run)
    prefix = "latency_percentiles_usec_"
    tails = {
        name.removeprefix(prefix): float(values["p99.9"])
        for name, values in look.last.info.items()
        if name.startswith(prefix) and "p99.9" in values
    }
    often = {
        name: us
        for name, us in tails.items()
        if look.last.info.get(f"cmdstat_{name}", {}).get("calls", 0) >= _CALLS_MIN
    }
    if not often:
        return not_applicable("the server tells no p99.9 of a command called 10,000 times")
    worst = max(often, key=lambda name: often[name])
    evidence = {f"p99.9 of {worst.upper()}": format_duration(often[worst] / 1e6)}
    if often[worst] > TAIL_US_MAX:
        return fail(
            f"since the server's start one {worst.upper()} in a thousand took "
            f"{format_duration(often[worst] / 1e6)} or more within it",
            evidence,
            "see latency-events for what held it up, and slow-commands",
        )
    return ok(
        f"no command's p99.9 is over {format_duration(often[worst] / 1e6)} within the server",
        evidence,
    )


@rule(
    "latency-monitor",
    title="Does the server note what holds it up?",
    severity="info",
    needs=("snapshots",),
    why="without it nobody can tell afterwards why messages were late, and LATENCY DOCTOR is blind",
    remedy=Remedy.directives("latency-monitor-threshold 10"),
    source="CONFIG latency-monitor-threshold; Redis latency monitor",
)
def latency_monitor(run: Run) -> Judgement:
    """Fails when the latency monitor is off."""
    look = Look(run)
    threshold = int(look.setting("latency-monitor-threshold"))
    evidence = {"latency-monitor-threshold": f"{threshold} ms" if threshold else "0, which is off"}
    if not threshold:
        return fail("the latency monitor is off", evidence, "a threshold of 10 ms costs nothing")
    return ok(f"what takes {threshold} ms or more is noted", evidence)


@rule(
    "slow-commands",
    title="Are there no commands that go through the whole keyspace?",
    severity="warning",
    needs=("snapshots",),
    why="the server does one thing at a time: while it walks all keys nobody's message is answered",
    remedy=Remedy(
        redis_conf="ACL: -keys -flushall -flushdb for the service's user; slowlog-log-slower-than "
        "10000",
        compose="none: SCAN in the service, and no KEYS",
        ecs="as in compose",
    ),
    source="INFO commandstats and SLOWLOG over the window; one slow command in ten seconds is an "
    "assumption",
)
def slow_commands(run: Run) -> Judgement:
    """Fails when KEYS or FLUSHALL was called, or over one slow command in ten seconds was noted."""
    look = Look(run)
    if not any(name.startswith("cmdstat_") for name in look.last.info):
        return not_applicable("the server counts no calls of its commands")
    calls = look.grown_in("cmdstat_", "calls")
    whole = {name: int(calls[name]) for name in _WHOLE_KEYSPACE if name in calls}
    slow, count = _new_entries(look)
    named = ", ".join(sorted({entry.command for entry in slow})) or "none"
    evidence = {
        "over many keys": ", ".join(f"{name.upper()} {n:,}" for name, n in whole.items()) or "none",
        "slow in the window": f"{count:,} ({named})" if slow else "none",
        "slowlog-log-slower-than": look.last.config.get("slowlog-log-slower-than", "unknown"),
    }
    always = [name for name in whole if name in _ALWAYS_SLOW]
    if always:
        return fail(
            f"{', '.join(name.upper() for name in always)} went through the whole keyspace",
            evidence,
            "SCAN instead, and take the right to it from the service's user",
        )
    if count >= _SLOW_MIN and count / look.window_s > SLOW_COMMANDS_PER_S_MAX:
        longest = max(entry.duration_us for entry in slow)
        return fail(
            f"{count:,} commands were slow, of up to {format_duration(longest / 1e6)}",
            evidence,
            "SLOWLOG GET tells which; smaller values, fewer keys at once",
        )
    return ok("no command was seen that goes through the whole keyspace", evidence)


def _new_entries(look: Look) -> tuple[list[SlowCommand], int]:
    """The newest slow commands that came in the window, and how many came, which may be more."""
    before = max((entry.number for entry in look.first.slowlog), default=-1)
    # Our own looks are in it too, where the server is slow.
    slow = [entry for entry in look.last.slowlog if entry.number > before]
    if not slow:
        return [], 0
    newest = max(entry.number for entry in slow)
    # Of a log that was empty the oldest that is left tells no more than itself.
    since = before if look.first.slowlog else min(entry.number for entry in slow) - 1
    return slow, newest - since


@rule(
    "cpu-bound",
    title="Has the server's one thread time left?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="at a full core every further message waits in a queue that only grows",
    remedy=Remedy(
        redis_conf="io-threads 4, where reading and writing sockets takes most",
        compose="cpus: 1 or more; beyond one core Redis Cluster",
        ecs='"cpu": 1024 or more for the container; beyond one core Redis Cluster',
    ),
    source="INFO used_cpu_user_main_thread and used_cpu_sys_main_thread over the window, against a "
    "core or the cgroup's limit; 0.9 is ElastiCache's 90 over cores",
)
def cpu_bound(run: Run) -> Judgement:
    """Fails when the main thread took over 0.9 of a core, or of what it may take of one."""
    look = Look(run)
    used = look.rate("used_cpu_user_main_thread") + look.rate("used_cpu_sys_main_thread")
    limit = look.cpu_limit_cores
    share = min(1.0, used / limit)
    of = "a core" if limit == 1 else f"its {limit:g} of a core"
    evidence = {
        "taken": f"{format_share(share)} of {of}",
        "commands": f"{look.rate('total_commands_processed'):,.0f}/s",
    }
    if share > CPU_SHARE_MAX:
        return fail(
            f"the main thread takes {format_share(share)} of {of}",
            evidence,
            "fewer round trips; else shards: workbench capacity finds how much it can take",
        )
    known = look.last.host is not None or limit < 1
    doubt = "" if known else "; under a CPU limit of its container that may be all of it"
    return ok(f"the main thread takes {format_share(share)} of {of}{doubt}", evidence)


@rule(
    "latency-events",
    title="Did nothing hold the server up for long?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="while it lasts no message is answered",
    remedy=Remedy(
        redis_conf="none: it depends on the cause that is named above",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="LATENCY LATEST: what the server itself noted; 100 ms is an assumption",
)
def latency_events(run: Run) -> Judgement:
    """Fails when an event of the window took 100 ms or more; names its cause."""
    look = Look(run)
    if look.setting("latency-monitor-threshold") == "0":
        return not_applicable("the latency monitor is off: see latency-monitor")
    # By the server's own clock, which stamps its events.
    clock_us = look.first.info.get("server_time_usec")
    began_s = (float(clock_us) / 1e6 if clock_us else look.first.unix_s) - 1
    seen = {
        name: event
        for name, event in look.last.latency.items()
        if look.window_s == 0 or event.unix_s >= began_s
    }
    evidence = {
        name: f"{event.latest_ms} ms, at most {event.max_ms} ms" for name, event in seen.items()
    }
    longest = {
        name: _longest_ms(event, look.first.latency.get(name)) for name, event in seen.items()
    }
    worst = max(longest, key=lambda name: longest[name], default="")
    if worst and longest[worst] >= LATENCY_EVENT_MS_MAX:
        return fail(
            f"{_CAUSES.get(worst, worst)} held the server up for {longest[worst]} ms",
            evidence,
            "see LATENCY DOCTOR for that event, and the rule of its cause",
        )
    return ok("nothing held the server up for 100 ms in the window", evidence or {"events": "none"})


def _longest_ms(event: LatencyEvent, before: LatencyEvent | None) -> int:
    """The longest of the window: the longest of all if that came in it, else the latest."""
    new = before is None or event.max_ms > before.max_ms
    return event.max_ms if new else event.latest_ms


@rule(
    "misses",
    title="Do reads find their conversation?",
    severity="info",
    needs=("snapshots",),
    why="a read that finds nothing is a new conversation, or one that was lost",
    remedy=Remedy(
        redis_conf="none: see evictions and expire-lag for why",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO keyspace_misses over the window, not since the start; half is an "
    "assumption, since "
    "each conversation begins with a miss",
)
def misses(run: Run) -> Judgement:
    """Fails when over half of 100 reads or more found nothing."""
    look = Look(run)
    look.only_sampled("turns tell which conversations were gone: see live-state-evicted")
    missed, hit = look.grown("keyspace_misses"), look.grown("keyspace_hits")
    reads = missed + hit
    if reads < _READS_MIN:
        return not_applicable("fewer than 100 reads in the window")
    evidence = {"reads": f"{reads:,.0f}", "that found nothing": format_share(missed / reads)}
    if missed > MISSES_SHARE_MAX * reads:
        return fail(
            f"{format_share(missed / reads)} of the reads found nothing", evidence, "see why"
        )
    return ok(f"{format_share(missed / reads)} of the reads found nothing", evidence)


@rule(
    "big-values",
    title="Are conversations small?",
    severity="warning",
    needs=("snapshots",),
    why="a large conversation is written whole at each message: to the AOF, over the network, and "
    "into memory of others",
    remedy=Remedy(
        redis_conf="none: the service keeps histories elsewhere, or in a key of their own",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="length of the documents of a run, or MEMORY USAGE of sampled keys; 32 KiB is an "
    "assumption, RedisInsight has 100 KB",
)
def big_values(run: Run) -> Judgement:
    """Fails when a conversation has over 32 KiB."""
    look = Look(run)
    if run.loaded:
        sizes_bytes = document_bytes(run.turns)
        if sizes_bytes is None:
            return not_applicable("no turn wrote a document")
        largest, median = sizes_bytes
    else:
        sizes = [of for of in look.keys().values() if of.bytes_max is not None]
        if not sizes:
            return not_applicable("no key was looked at that tells its size")
        most = max(sizes, key=lambda of: of.bytes_max or 0)
        largest, median = int(most.bytes_max or 0), int(most.bytes_p50 or 0)
    evidence = {"largest": format_bytes(largest), "median": format_bytes(median)}
    what = "conversation" if run.loaded else "key looked at"
    if largest > BIG_VALUE_BYTES:
        return fail(
            f"the largest {what} has {format_bytes(largest)}",
            evidence,
            "keep only what the next message needs",
        )
    return ok(f"the largest {what} has {format_bytes(largest)}", evidence)


@rule(
    "error-replies",
    title="Does the server answer commands without errors?",
    severity="warning",
    needs=("snapshots",),
    why="an error that is tried again and again is a storm; one that is not is a lost message",
    remedy=Remedy(
        redis_conf="none: each prefix has its own: OOM maxmemory, MISCONF the disk, NOSCRIPT a "
        "Function, NOPERM the ACL, LOADING the health check",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO errorstats and total_error_replies over total_commands_processed in the window; "
    "1 % is an assumption",
)
def error_replies(run: Run) -> Judgement:
    """Fails when over 1 % of the commands, and ten or more, were answered by an error."""
    look = Look(run)
    errors, commands = look.grown("total_error_replies"), look.grown("total_commands_processed")
    kinds = look.grown_in("errorstat_", "count")
    named = sorted(kinds.items(), key=lambda kind: -kind[1])[:5]
    evidence = {"errors": f"{errors:,.0f} of {commands:,.0f} commands"}
    evidence |= {name: f"{count:,.0f}" for name, count in named}
    if errors >= ERRORS_MIN and errors > ERRORS_SHARE_MAX * max(1.0, commands):
        most = f", most of them {named[0][0]}" if named else ""
        return fail(
            f"{errors:,.0f} commands were answered by an error{most}",
            evidence,
            "INFO errorstats names the kinds, INFO commandstats the commands (failed_calls)",
        )
    return ok(f"{errors:,.0f} of {commands:,.0f} commands were answered by an error", evidence)
