"""
Overcommit: will the kernel grant the fork that an AOF rewrite needs?

Redis asks for ``vm.overcommit_memory = 1`` and warns of anything else. The kernel's default of 0
refuses only an obvious overcommit, though, and a server that fits twice into the memory that is
free is forked under it every time. A rule that failed there would fail on nearly every engineer's
machine, and its verdict would soon be skipped. So at 0 the rule fails if a fork was refused, or if
the server at its cap does not fit twice; else it passes, with the advice to set 1 where Redis runs
for good. At 2 the kernel counts the child's whole copy against a limit, and it fails.
"""

from workbench.analysis.persistence import aof_enabled
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count

__all__ = ["overcommit"]

_ADVICE = (
    "set vm.overcommit_memory=1 by sysctl on the host, and in /etc/sysctl.conf; compose cannot set "
    "it for a container; on ECS it is set on the EC2 host, and on Fargate it cannot be set: there "
    "leave memory for a second copy of the data"
)


@rule(
    "overcommit",
    title="Will the kernel grant the fork that an AOF rewrite needs?",
    severity="warning",
    needs=("samples",),
    why="a refused fork leaves the AOF without a rewrite: it grows until the disk is full, "
    "and then all writes are refused",
    remedy=Remedy(
        redis_conf="none: vm.overcommit_memory=1 in /etc/sysctl.conf of the host",
        compose="none: compose cannot set it; sysctl -w vm.overcommit_memory=1 on the host",
        ecs="on EC2 by the host's user data; on Fargate it cannot be set: leave memory for a "
        "second copy",
    ),
    source="vm.overcommit_memory and MemAvailable; Redis administration, Linux overcommit "
    "accounting; ECS SystemControl",
    # What must fit is the server at its cap, whatever the load made of it.
    holds_if_late=True,
)
def overcommit(run: Run) -> Judgement:
    """Fails when a fork was refused, or when the setting lets the kernel refuse the next one."""
    server, host = run.manifest.server, run.manifest.host
    if not run.host_seen:
        return unknown(
            "the server's host is not this one, or does not show",
            "look at vm.overcommit_memory on its host",
        )
    if aof_enabled(run.samples) is False and server.get("config", {}).get("save") == "":
        return not_applicable("the server keeps neither an AOF nor snapshots, so it does not fork")
    setting = host.get("overcommit_memory")
    evidence = {"vm.overcommit_memory": "unknown" if setting is None else str(setting)}
    details = run.events["detail"].fillna("").astype(str)
    refused = details[details.str.contains("in background: fork", regex=False)]
    if not refused.empty:
        evidence["the server's log"] = refused.iloc[-1]
        return fail(f"{format_count(len(refused), 'fork')} failed", evidence, _ADVICE)
    if setting is None:
        return unknown("the host does not show vm.overcommit_memory", "run it on Linux")
    if setting == 1:
        return ok("vm.overcommit_memory is 1: a fork is not refused for want of memory", evidence)
    if setting != 0:
        return fail(
            f"vm.overcommit_memory is {setting}: the kernel refuses a fork that does not fit its "
            "commit limit, however little the fork would copy",
            evidence,
            _ADVICE,
        )
    cap, resident = run.samples["maxmemory"].max(), run.samples["used_memory_rss"].max()
    free = host.get("available_bytes")
    if free is None or not cap > 0 or not resident > 0:
        return unknown(
            "vm.overcommit_memory is 0, and whether the server fits twice is not known: "
            f"{'the free memory does not show' if free is None else 'it has no maxmemory'}",
            _ADVICE,
            evidence,
        )
    room = min(free, host.get("memory_limit_bytes") or free)
    size = float(max(cap, resident))
    evidence |= {"the server at its cap": format_bytes(size), "free memory": format_bytes(room)}
    if 2 * size > room:
        return fail(
            f"vm.overcommit_memory is 0, and a server of {format_bytes(size)} does not fit twice "
            f"into the {format_bytes(room)} that were free",
            evidence,
            _ADVICE,
        )
    return ok(
        f"no fork was refused: vm.overcommit_memory is 0, but a server of {format_bytes(size)} "
        f"fits twice into the {format_bytes(room)} that were free",
        evidence,
        f"where Redis runs for good, {_ADVICE}",
    )
