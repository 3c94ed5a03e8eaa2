"""
Overcommit: will the kernel grant the fork that an AOF rewrite needs?

Redis asks for ``vm.overcommit_memory = 1`` and warns of anything else. The kernel's default of 0
refuses only what is larger than RAM and swap together (before Linux 5.2: than what was free), and
a fork of a server that fits into its machine is granted under it every time. A rule that failed
there would fail on nearly every engineer's machine, and its verdict would soon be skipped. So at 0
the rule fails if a fork was refused, or if the server at its cap is larger than RAM and swap; else
it passes, with the advice to set 1 where Redis runs for good. At 2 the kernel counts the child's
whole copy against a limit, and it fails. A container's limit has no say in a fork: see
cap-near-limit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.analysis.persistence import aof_enabled
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count

__all__ = ["fork_judgement", "overcommit"]

_ADVICE = (
    "set vm.overcommit_memory=1 by sysctl on the host, and in /etc/sysctl.conf; compose cannot set "
    "it for a container; on ECS it is set on the EC2 host, and on Fargate it cannot be set: there "
    "leave room for what a rewrite copies"
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
    source="vm.overcommit_memory, RAM and swap; Redis administration, __vm_enough_memory of Linux; "
    "ECS SystemControl",
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
    cap, resident = run.samples["maxmemory"].max(), run.samples["used_memory_rss"].max()
    size_bytes = float(max(cap, resident)) if cap > 0 and resident > 0 else None
    judged = fork_judgement(host, size_bytes)
    if judged.verdict == "pass" and host.get("overcommit_memory") == 0:
        return replace(judged, says=f"no fork was refused: {judged.says}")
    return judged


def fork_judgement(host: Mapping[str, Any], size_bytes: float | None) -> Judgement:
    """
    Will the kernel grant the fork of a server that is as large as it may grow?

    Args:
        host: as ``telemetry.host.describe_host`` tells of it.
        size_bytes: of the server at its cap; None if it has none.
    """
    setting = host.get("overcommit_memory")
    evidence = {"vm.overcommit_memory": "unknown" if setting is None else str(setting)}
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
    whole = host.get("ram_bytes")
    if whole is None or size_bytes is None:
        return unknown(
            "vm.overcommit_memory is 0, and whether the server is larger than the machine is not "
            f"known: {'its memory does not show' if whole is None else 'it has no maxmemory'}",
            _ADVICE,
            evidence,
        )
    room = whole + (host.get("swap_total_bytes") or 0)
    size = format_bytes(size_bytes)
    evidence |= {"the server at its cap": size, "RAM and swap": format_bytes(room)}
    if size_bytes > room:
        return fail(
            f"vm.overcommit_memory is 0, and a server of {size} is larger than the "
            f"{format_bytes(room)} of RAM and swap",
            evidence,
            _ADVICE,
        )
    return ok(
        f"vm.overcommit_memory is 0, which grants the fork of a server of {size} on a machine of "
        f"{format_bytes(room)}",
        evidence,
        f"where Redis runs for good, {_ADVICE}",
    )
