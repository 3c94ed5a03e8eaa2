"""Replica link: does a replica that is looked at still hear from its primary?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import format_duration

__all__ = ["replica_link"]


@rule(
    "replica-link",
    title="Does this replica hear from its primary?",
    severity="critical",
    needs=("snapshots",),
    why="a replica that hears nothing keeps conversations as they were, and whoever fails over to "
    "it loses what came since",
    remedy=Remedy(
        redis_conf="replicaof HOST 6379 and masterauth as the primary has them; repl-backlog-size "
        "64mb",
        compose="depends_on the primary, on one network with it",
        ecs="service discovery of the primary, and a security group that lets the replica in",
    ),
    source="INFO role, master_link_status and master_link_down_since_seconds",
)
def replica_link(run: Run) -> Judgement:
    """Fails when the server is a replica, and its link to the primary is down."""
    look = Look(run)
    if look.value("role") != "slave":
        return not_applicable("the server is no replica")
    status = str(look.value("master_link_status"))
    evidence = {"master_link_status": status}
    if status == "up":
        return ok("the replica hears from its primary", evidence)
    if look.last.info.get("master_sync_in_progress"):
        return ok("the replica is being copied from its primary", evidence)
    down_s = float(look.last.info.get("master_link_down_since_seconds", -1))
    if down_s >= 0:
        evidence["for"] = format_duration(down_s)
    return fail(
        "the replica does not hear from its primary",
        evidence,
        "see the replica's log: the primary is gone, asks for a password, or sends more than its "
        "client-output-buffer-limit for replicas allows",
    )
