"""AOF policy: is what was acknowledged kept, at a price that is known?"""

import re

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.limits import LARGE_BYTES
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.server.settings import dead_settings as settings_that_are_dead
from workbench.units import format_bytes, format_duration, format_share

__all__ = [
    "aof_truncated",
    "appendfsync",
    "dead_settings",
    "fsync_while_rewriting",
    "persistence_off",
    "rewrite_never",
    "rewrite_storm",
]

_WRITES_PER_S_MAX = 1000
_WRITES = (
    *("set", "setex", "psetex", "getset", "getdel", "mset", "append", "incr", "incrby", "del"),
    *("unlink", "expire", "pexpire", "hset", "hmset", "hincrby", "hdel", "sadd", "srem", "zadd"),
    *("zrem", "lpush", "rpush", "lpop", "rpop", "xadd", "fcall", "evalsha", "eval"),
)
_REWRITES_PER_10_MIN_MAX = 1.0
_TIME_SHARE_MAX = 0.2
_OVERDUE_RATIO = 1.2
_TRUNCATED = re.compile(r"loaded anyway because aof-load-truncated|Truncating the AOF")


@rule(
    "persistence-off",
    title="Does a restart bring conversations back?",
    severity="warning",
    needs=("snapshots",),
    why="without AOF and snapshots a restart loses every conversation",
    remedy=Remedy.directives("appendonly yes", "appendfsync everysec"),
    source="INFO aof_enabled, CONFIG appendonly and save; Redis persistence guide",
)
def persistence_off(run: Run) -> Judgement:
    """Fails when there is no AOF, and no save points."""
    look = Look(run)
    save = look.setting("save")
    # INFO's aof_enabled is 0 until the server has loaded.
    kept = look.aof or look.on("appendonly")
    evidence = {"appendonly": "yes" if kept else "no", "save": save or '""'}
    if not kept and not save:
        return fail("the server keeps nothing on disk", evidence, "keep an AOF")
    return ok("the server keeps its data on disk", evidence)


@rule(
    "rewrite-storm",
    title="Are AOF rewrites rare?",
    severity="warning",
    needs=("snapshots",),
    why="each rewrite forks, copies memory and takes a core and the disk for itself",
    remedy=Remedy.directives("auto-aof-rewrite-min-size 512mb", "auto-aof-rewrite-percentage 200"),
    source="INFO aof_rewrites and aof_last_rewrite_time_sec over ten minutes or more; one in ten "
    "minutes and a fifth of the time are assumptions",
)
def rewrite_storm(run: Run) -> Judgement:
    """Fails when there is more than one rewrite in ten minutes, or they take over a fifth of it."""
    look = Look(run)
    look.require_aof()
    rewrites = look.grown("aof_rewrites")
    if look.window_s < 600:
        return not_applicable("that shows in ten minutes or more: look by --for 10m")
    per_10_min = 600 * rewrites / look.window_s
    share = rewrites * max(0.0, look.number("aof_last_rewrite_time_sec")) / look.window_s
    evidence = {
        "rewrites": f"{rewrites:.0f} in {format_duration(look.window_s)}",
        "share of the time": format_share(share),
    }
    if per_10_min > _REWRITES_PER_10_MIN_MAX or share > _TIME_SHARE_MAX:
        return fail(
            f"{per_10_min:.1f} rewrites in ten minutes",
            evidence,
            "auto-aof-rewrite-min-size about maxmemory: state that is written anew at each turn "
            "doubles a small AOF at once",
        )
    return ok(f"{per_10_min:.1f} rewrites in ten minutes", evidence)


@rule(
    "rewrite-never",
    title="Is the AOF rewritten before it is much larger than its data?",
    severity="warning",
    needs=("snapshots",),
    why="a long AOF is a long restart, and nobody's conversation goes on until it is loaded",
    remedy=Remedy(
        redis_conf="auto-aof-rewrite-percentage 100; see the log for why none is made "
        "(aof-rewrite)",
        compose="--auto-aof-rewrite-percentage 100",
        ecs='"--auto-aof-rewrite-percentage", "100"',
    ),
    source="INFO aof_current_size and aof_base_size, CONFIG auto-aof-rewrite-percentage and "
    "auto-aof-rewrite-min-size; that a fifth more is overdue is an assumption",
)
def rewrite_never(run: Run) -> Judgement:
    """Fails when rewrites are off, or the AOF is a fifth larger than the settings allow."""
    look = Look(run)
    look.require_aof()
    percentage = int(look.setting("auto-aof-rewrite-percentage"))
    size, base = look.number("aof_current_size"), look.number("aof_base_size")
    evidence = {
        "auto-aof-rewrite-percentage": str(percentage),
        "AOF": format_bytes(size),
        "its base": format_bytes(base),
    }
    # By then the server's own settings have it rewritten, and a fifth more.
    least = float(look.setting("auto-aof-rewrite-min-size"))
    large = size > _OVERDUE_RATIO * max(least, LARGE_BYTES, base * (1 + percentage / 100))
    if percentage == 0 or (large and not look.number("aof_rewrite_in_progress")):
        return fail(
            "the AOF is never rewritten by itself"
            if percentage == 0
            else f"the AOF has {format_bytes(size)}, and its base {format_bytes(base)}",
            evidence,
            "BGREWRITEAOF now; then the settings below",
        )
    return ok(f"the AOF has {format_bytes(size)}, and its base {format_bytes(base)}", evidence)


@rule(
    "fsync-while-rewriting",
    title="Is the AOF synced during a rewrite as well?",
    severity="info",
    needs=("snapshots",),
    why="during a rewrite up to 30 s of answers are lost in a crash",
    remedy=Remedy.directives("no-appendfsync-on-rewrite no"),
    source="CONFIG no-appendfsync-on-rewrite; Redis persistence guide",
)
def fsync_while_rewriting(run: Run) -> Judgement:
    """Fails when no-appendfsync-on-rewrite is yes."""
    look = Look(run)
    look.require_aof()
    skipped = look.on("no-appendfsync-on-rewrite")
    evidence = {"no-appendfsync-on-rewrite": "yes" if skipped else "no"}
    if skipped:
        return fail("the AOF is not synced while it is rewritten", evidence, "leave it at no")
    return ok("the AOF is synced while it is rewritten", evidence)


@rule(
    "appendfsync",
    title="Does the AOF's fsync fit the load?",
    severity="warning",
    needs=("snapshots",),
    why="always makes each message wait for the disk; no loses up to half a minute of answers",
    remedy=Remedy.directives("appendfsync everysec"),
    source="CONFIG appendfsync, INFO commandstats; Redis persistence guide; 1,000 writes a second "
    "are an assumption",
)
def appendfsync(run: Run) -> Judgement:
    """Fails when appendfsync is no, or always at over 1,000 writes a second."""
    look = Look(run)
    look.require_aof()
    policy = look.setting("appendfsync")
    evidence = {"appendfsync": policy}
    if policy == "everysec":
        return ok("the AOF is synced once a second", evidence)
    if policy == "no":
        return fail("the kernel decides when the AOF is synced", evidence, "sync it every second")
    calls = look.grown_in("cmdstat_", "calls")
    per_s = sum(calls.get(name, 0) for name in _WRITES) / look.window_s
    evidence["writes"] = f"{per_s:,.0f}/s"
    if per_s > _WRITES_PER_S_MAX:
        return fail(
            f"each of {per_s:,.0f} writes a second waits for the disk",
            evidence,
            "everysec, where a second of answers may be lost; else a faster disk",
        )
    return ok("each answer is on disk before it is acknowledged, and the load is light", evidence)


@rule(
    "dead-settings",
    title="Does every setting have an effect?",
    severity="info",
    needs=("snapshots",),
    why="a setting that does nothing is taken for a protection that is not there",
    remedy=Remedy(
        redis_conf="leave the lines named above out",
        compose="leave the flags named above out",
        ecs="leave the flags named above out",
    ),
    source="CONFIG; serverCron and writeCommandsDeniedByDiskError in Redis 7.0.15, server.c: "
    "stop-writes-on-bgsave-error is asked only where there are save points",
)
def dead_settings(run: Run) -> Judgement:
    """Fails when a setting that is not at its default has no effect beside the others."""
    look = Look(run)
    look.setting("save")  # that settings may be asked for at all
    found = {
        f"{dead.name} {dead.value}": dead.says for dead in settings_that_are_dead(look.last.config)
    }
    if not found:
        told = f"{len(look.last.config)} looked at"
        return ok("no setting was found that has no effect", {"settings": told})
    return fail(
        f"{', '.join(found)} {'has' if len(found) == 1 else 'have'} no effect",
        found,
        "leave it out, or say beside it that it does nothing",
    )


@rule(
    "aof-truncated",
    title="Was the whole AOF loaded?",
    severity="critical",
    needs=("snapshots",),
    why="the last answers before the crash are gone, and nobody was told",
    remedy=Remedy.directives("aof-load-truncated no"),
    source="the server's log; loadSingleAppendOnlyFile in Redis 7.0.15, aof.c",
)
def aof_truncated(run: Run) -> Judgement:
    """Fails when the server's log says that it cut an AOF short and went on."""
    logs = run.server_logs
    look = Look(run)
    if not look.aof:
        return not_applicable("the server keeps no AOF")
    if not logs:
        return unknown(
            "the server's log cannot be read from here",
            "look in it for: AOF loaded anyway because aof-load-truncated is enabled",
        )
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    said = [line for line in lines if _TRUNCATED.search(line)]
    evidence = {"lines of the log": str(len(said))}
    if said:
        return fail(
            "the server cut its AOF short when it loaded it, and went on",
            evidence,
            "compare with a backup; aof-load-truncated no stops the server instead, and "
            "redis-check-aof --fix does the same by hand, knowingly",
        )
    return ok("the log tells of no AOF that was cut short", evidence)
