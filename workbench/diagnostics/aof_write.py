"""AOF write: did the server refuse commands because its disk failed?"""

from workbench.analysis.persistence import aof_enabled
from workbench.analysis.windows import grown
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count

__all__ = ["aof_write"]


@rule(
    "aof-write",
    title="Could the server write its AOF?",
    severity="critical",
    needs=("samples",),
    why="while it cannot write its AOF the server refuses every write, and every "
    "conversation stands still",
    remedy=Remedy(
        redis_conf="none: stop-writes-on-bgsave-error is not asked; give the disk under dir room",
        compose="a larger volume at /data; healthcheck: redis-cli -e ping",
        ecs='on Fargate "ephemeralStorage": {"sizeInGiB": 40}; on EC2 a larger volume; '
        "healthCheck by redis-cli -e ping",
    ),
    source="INFO aof_last_write_status and errorstat_MISCONF; writeCommandsDeniedByDiskError in "
    "Redis 7.0.15, server.c",
)
def aof_write(run: Run) -> Judgement:
    """Fails when a write to the AOF failed, or commands were refused for a failing disk."""
    refused = grown(run.samples, "errorstat_MISCONF")
    if aof_enabled(run.samples) is False and not refused:
        return not_applicable("the server keeps no AOF")
    status = run.samples["aof_last_write_status"].dropna()
    failed_s = run.samples["elapsed_s"][run.samples["aof_last_write_status"] == "err"]
    evidence = {
        "commands refused": "unknown" if refused is None else f"{refused:,}",
        "write status at the end": "unknown" if status.empty else str(status.iloc[-1]),
    }
    if not failed_s.empty:
        evidence["first failure seen"] = f"at {failed_s.iloc[0]:.0f} s"
    if refused or not failed_s.empty:
        return fail(
            "the server could not write to its disk"
            + (f", and refused {format_count(refused, 'command')} for it" if refused else ""),
            evidence,
            "give the disk room: df on its dir; a larger volume on EC2 or in compose, a larger "
            'ephemeralStorage on Fargate. With save "" stop-writes-on-bgsave-error no does not '
            "help: flow state stays refused until the disk can be written. Let the health check "
            "notice it: redis-cli -e ping, since redis-cli ping exits with 0",
        )
    if status.empty or refused is None:
        return unknown(
            "the server does not say whether its writes to the AOF succeeded",
            "ask its INFO for aof_last_write_status and errorstat_MISCONF",
            evidence,
        )
    return ok("no write to the AOF was seen to fail, and no command was refused for it", evidence)
