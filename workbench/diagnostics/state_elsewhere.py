"""State elsewhere: do turns meet a Redis that does not have their conversation?"""

from workbench.analysis.loss import loss
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.runs.run import Run
from workbench.units import format_count, format_share

__all__ = ["state_elsewhere"]


@rule(
    "state-elsewhere",
    title="Does every task of the service find the conversations of the others?",
    severity="critical",
    needs=("operations",),
    why="a person whose next message reaches another task begins again, although nothing was lost",
    remedy=Remedy(
        redis_conf="none: one Redis for all tasks",
        compose="one redis-state service, named by every service",
        ecs="a Redis of its own, as a service or ElastiCache, and not a container beside "
        "each task's",
    ),
    source="the generator knows which Redis acknowledged a conversation's last write",
    holds_if_late=True,
)
def state_elsewhere(run: Run) -> Judgement:
    """Fails when a turn came to a Redis that had no state of its conversation, or an older one."""
    tasks = int(run.manifest.experiment.get("tasks", 1))
    if tasks < 2:
        return not_applicable("all turns went to one Redis")
    found = loss(run.turns)
    evidence = {
        "tasks": str(tasks),
        "turns that needed a state": f"{found.turns:,}",
        "of these, state elsewhere": f"{found.elsewhere:,}",
    }
    if not found.elsewhere:
        return ok(f"with {tasks} Redises, every turn found its conversation", evidence)
    share = format_share(found.elsewhere / found.turns)
    return fail(
        f"{format_count(found.elsewhere, 'turn')} ({share}) came to a Redis that had no state of "
        "their conversation, or an older one",
        evidence,
        "give all tasks one Redis: in ECS a service of its own with one task behind service "
        "discovery, or ElastiCache; a Redis within each task keeps each task's conversations apart",
    )
