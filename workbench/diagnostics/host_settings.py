"""
Host settings: does the kernel under the server treat it as it needs to be treated?

They are read where the server's process is seen to run on this machine; from elsewhere they are
unknown, whatever this machine has.
"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.limits import FORK_MS_PER_GIB_MAX, FORK_US_MAX, LARGE_BYTES
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import MIB, format_bytes, format_duration

__all__ = ["accept_backlog", "fork_slow", "huge_pages", "oom_victim", "swapped"]

_SWAP_BYTES_MAX = MIB
_SWAP_SHARE_MAX = 0.01
_RESIDENT_SHARE_MIN = 0.9
_FORK_US_MIN = 20_000


@rule(
    "huge-pages",
    title="Does a rewrite copy small pages, and not pages of 2 MB?",
    severity="warning",
    needs=("snapshots",),
    why="after a fork each first write to a huge page copies 2 MB: replies are late and "
    "memory runs "
    "out in every rewrite",
    remedy=Remedy(
        redis_conf="disable-thp yes, the default",
        compose="none: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled on the host",
        ecs="on EC2 by the host's user data; Fargate's hosts are not yours: keep disable-thp yes",
    ),
    source="/sys/kernel/mm/transparent_hugepage/enabled, AnonHugePages of the process, CONFIG "
    "disable-thp; Redis latency guide",
)
def huge_pages(run: Run) -> Judgement:
    """Fails when huge pages are always given, and the server takes them."""
    look = Look(run)
    chosen = look.host("transparent_hugepage")
    evidence = {"transparent_hugepage": chosen}
    if chosen != "always":
        return ok(f"huge pages are given by {chosen}: the server does not ask for any", evidence)
    huge = look.last.host.anon_huge_bytes if look.last.host else None
    disabled = look.on("disable-thp")
    evidence |= {"disable-thp": "yes" if disabled else "no"}
    if huge is not None:
        evidence["huge pages of the process"] = format_bytes(huge)
    if huge or not disabled:
        return fail(
            "huge pages are always given, and the server takes them",
            evidence,
            "let Redis refuse them (disable-thp yes), or set the host to madvise",
        )
    return ok("huge pages are always given, and the server refuses them", evidence)


@rule(
    "fork-slow",
    title="Is a fork over before anybody notices?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="the server answers nobody while it forks for a rewrite",
    remedy=Remedy(
        redis_conf="auto-aof-rewrite-percentage and auto-aof-rewrite-min-size higher, for "
        "fewer forks",
        compose="a host that forks faster, or less memory for each server",
        ecs="Nitro instances; less memory for each server",
    ),
    source="INFO latest_fork_usec and used_memory_rss; 100 ms is an assumption, 100 ms a GiB is "
    "LATENCY DOCTOR's",
)
def fork_slow(run: Run) -> Judgement:
    """Fails when the latest fork took over 100 ms, or over 20 ms and over 100 ms a GiB."""
    look = Look(run)
    fork_us, resident = look.number("latest_fork_usec"), look.number("used_memory_rss")
    if not fork_us:
        return not_applicable("the server has not forked yet")
    took = format_duration(fork_us / 1e6)
    per_gib_ms = fork_us / 1000 / (resident / 1024**3)
    evidence = {
        "latest fork": took,
        "resident memory": format_bytes(resident),
        "by resident memory": f"{per_gib_ms:.0f} ms a GiB",
    }
    # At little memory a fork has a cost of its own: 6.5 ms at 64 MiB are no slow host.
    noticed = fork_us > _FORK_US_MIN and resident >= LARGE_BYTES
    if fork_us > FORK_US_MAX or (noticed and per_gib_ms > FORK_MS_PER_GIB_MAX):
        return fail(
            f"the latest fork stopped the server for {took}",
            evidence,
            "fewer rewrites, less memory for each server, or a host that forks faster (not Xen)",
        )
    return ok(f"the latest fork stopped the server for {took}", evidence)


@rule(
    "swapped",
    title="Is the whole keyspace in memory?",
    severity="critical",
    needs=("snapshots",),
    why="a conversation that was swapped out is read from disk while everybody else waits",
    remedy=Remedy(
        redis_conf="maxmemory lower",
        compose="memswap_limit equal to mem_limit",
        ecs='"linuxParameters": {"maxSwap": 0} on EC2; Fargate has no swap',
    ),
    source="VmSwap of the server's process; from elsewhere INFO used_memory_rss under used_memory; "
    "Redis latency guide",
)
def swapped(run: Run) -> Judgement:
    """Fails when over 1 MiB of the process, and a hundredth of its memory, is swapped out."""
    look = Look(run)
    host = look.last.host
    if host is not None and host.swap_bytes is not None:
        evidence = {"swapped out": format_bytes(host.swap_bytes)}
        if host.swap_bytes > max(_SWAP_BYTES_MAX, _SWAP_SHARE_MAX * look.number("used_memory")):
            return fail(
                f"{format_bytes(host.swap_bytes)} of the server are swapped out",
                evidence,
                "more memory on the host, or a lower maxmemory; then restart the server",
            )
        return ok("nothing of the server is swapped out", evidence)
    used, resident = look.number("used_memory"), look.number("used_memory_rss")
    evidence = {"used": format_bytes(used), "resident": format_bytes(resident)}
    if used < LARGE_BYTES:
        return unknown(
            "the host does not show, and at so little memory INFO says nothing of swap",
            "run it on the server's host",
            evidence,
        )
    if resident < _RESIDENT_SHARE_MIN * used:
        return unknown(
            "less memory is resident than the server uses: the rest is swapped out, or was never "
            "touched",
            "look at VmSwap in /proc/PID/status on its host",
            evidence,
        )
    return ok("as much memory is resident as the server uses", evidence)


@rule(
    "accept-backlog",
    title="Does the kernel queue as many new connections as the server asks for?",
    severity="warning",
    needs=("snapshots",),
    why="when many clients connect at once, as after a deployment, the kernel drops those that it "
    "does not let wait",
    remedy=Remedy(
        redis_conf="tcp-backlog 511 needs net.core.somaxconn=1024 on the host",
        compose="sysctls: {net.core.somaxconn: 1024}",
        ecs='"systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}]',
    ),
    source="CONFIG tcp-backlog, /proc/sys/net/core/somaxconn; redis.conf of Redis 7.0",
)
def accept_backlog(run: Run) -> Judgement:
    """Fails when tcp-backlog is larger than net.core.somaxconn."""
    look = Look(run)
    wanted, granted = int(look.setting("tcp-backlog")), look.host("somaxconn")
    evidence = {"tcp-backlog": str(wanted), "net.core.somaxconn": str(granted)}
    if wanted > granted:
        return fail(
            f"the server asks for a queue of {wanted} connections, and the kernel grants {granted}",
            evidence,
            "raise net.core.somaxconn; in a container it is a setting of its network namespace",
        )
    return ok(
        f"the kernel queues up to {granted} connections, and the server asks for {wanted}", evidence
    )


@rule(
    "oom-victim",
    title="Would the kernel kill the rewrite before the server?",
    severity="info",
    needs=("snapshots",),
    why="with equal scores the kernel may kill the server, or the application beside it, for the "
    "memory that a rewrite took",
    remedy=Remedy.directives("oom-score-adj relative", "oom-score-adj-values 0 200 800"),
    source="CONFIG oom-score-adj; redis.conf of Redis 7.0: a child inherits its parent's score",
)
def oom_victim(run: Run) -> Judgement:
    """Fails when a server under a container's limit does not let the kernel prefer the rewrite."""
    look = Look(run)
    mode, score = look.setting("oom-score-adj"), look.host("oom_score_adj")
    source = look.last.host.memory_limit_source if look.last.host else None
    evidence = {"oom-score-adj": mode, "oom_score_adj": str(score), "limit": str(source)}
    if not str(source).startswith("cgroup"):
        return not_applicable("no container limits the server's memory")
    if mode == "no":
        return fail(
            "server and rewrite are equal to the kernel when memory runs out",
            evidence,
            "set oom-score-adj relative, so that the rewrite goes first",
        )
    return ok("the kernel prefers the rewrite when memory runs out", evidence)
