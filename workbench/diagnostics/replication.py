"""Replication and restarts: is the server ready, is there a second one, is it in step?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import format_bytes, format_share

__all__ = ["loading", "replication_buffers", "single_node"]

_BUFFERS_SHARE_MAX = 0.05
_BACKLOG_S = 60


@rule(
    "loading",
    title="Has the server loaded its data?",
    severity="critical",
    needs=("snapshots",),
    why="while it loads it answers LOADING to every message, and redis-cli ping exits with 0",
    remedy=Remedy(
        redis_conf="none: ask for loading:0 before it is called healthy",
        compose='healthcheck: {test: ["CMD-SHELL", "redis-cli -e ping"]}',
        ecs='"healthCheck": {"command": ["CMD-SHELL", "redis-cli -e ping"]}',
    ),
    source="INFO loading; 406 MB took 5.4 s on Redis 7.0.15",
)
def loading(run: Run) -> Judgement:
    """Fails when the server is loading."""
    look = Look(run)
    if look.number("loading"):
        left = look.last.info.get("loading_eta_seconds")
        evidence = {"loading": "1", "left": "unknown" if left is None else f"{left} s"}
        return fail("the server is loading its data", evidence, "wait; let the health check see it")
    return ok("the server has loaded its data", {"loading": "0"})


@rule(
    "replication-buffers",
    title="Are replicas kept in step without a full copy?",
    severity="info",
    needs=("snapshots",),
    why="a replica that falls behind the backlog needs a full copy, and so a fork",
    remedy=Remedy(
        redis_conf="repl-backlog-size of 60 s of writes",
        compose="--repl-backlog-size as in redis.conf",
        ecs='"--repl-backlog-size" as in redis.conf',
    ),
    source="INFO mem_total_replication_buffers, repl_backlog_size, master_repl_offset; Redis "
    "replication guide; 60 s and 5 % are assumptions",
)
def replication_buffers(run: Run) -> Judgement:
    """Fails when buffers beyond the backlog take 5 % of the cap, or it holds under 60 s."""
    look = Look(run)
    if not look.number("connected_slaves"):
        return not_applicable("the server has no replicas")
    buffers, cap = look.number("mem_total_replication_buffers"), look.number("maxmemory")
    backlog, per_s = look.number("repl_backlog_size"), look.rate("master_repl_offset")
    evidence = {
        "buffers": format_bytes(buffers),
        "backlog": format_bytes(backlog),
        "written": f"{format_bytes(per_s)}/s",
    }
    beyond = max(0.0, buffers - backlog)
    if cap and beyond > _BUFFERS_SHARE_MAX * cap:
        return fail(
            f"buffers of replicas take {format_share(beyond / cap)} of the cap beyond the backlog, "
            "which the cap does not count",
            evidence,
            "leave that much between the cap and the container's limit",
        )
    if backlog < per_s * _BACKLOG_S:
        return fail(
            f"the backlog holds {backlog / per_s:.0f} s of writes", evidence, "a larger backlog"
        )
    return ok("the backlog holds a minute of writes or more", evidence)


@rule(
    "single-node",
    title="Is there a second server for when this one stops?",
    severity="critical",
    needs=("snapshots",),
    why="when the only server stops, every conversation stops with it",
    remedy=Remedy(
        redis_conf="replicaof HOST 6379 on a second server, and three sentinels",
        compose="a second service with --replicaof redis-state 6379",
        ecs="ElastiCache with a replica in another zone, or Sentinel: see Recommended Improvements",
    ),
    source="INFO role and connected_slaves; judged only where the profile asked for is production",
)
def single_node(run: Run) -> Judgement:
    """Fails when a production server is a primary without replicas."""
    look = Look(run)
    if run.loaded or run.manifest.experiment.get("profile") != "production":
        return not_applicable("no production server was named: doctor --profile production")
    role, replicas = str(look.value("role")), int(look.number("connected_slaves"))
    evidence = {"role": role, "replicas": str(replicas)}
    if role == "master" and not replicas:
        return fail("the server is alone", evidence, "give it a replica that can take over")
    return ok("the server is not alone", evidence)
