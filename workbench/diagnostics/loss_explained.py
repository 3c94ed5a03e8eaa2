"""Loss explained: do the turns without state agree with what the server says it evicted?"""

from collections.abc import Mapping

from workbench.analysis.loss import key_states, loss, run_out
from workbench.analysis.windows import growth
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count, format_share

__all__ = ["loss_explained"]

_OFF_SHARE_MAX = 0.001


@rule(
    "loss-explained",
    title="Is every lost state explained?",
    severity="critical",
    needs=("operations", "samples"),
    why="a loss that nobody can explain cannot be prevented",
    remedy=Remedy(
        redis_conf="none: find who deletes keys, by ACL LOG and INFO commandstats",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO evicted_keys, expired_keys and run_id against the outcomes of all turns, and "
    "against every key that was written, looked for once more at the end",
    holds_if_late=True,
)
def loss_explained(run: Run) -> Judgement:
    """Fails when more states were gone before their time than the server evicted."""
    lost = loss(run.turns)
    keys = key_states(run.key_rows)
    evicted_keys = growth(run.samples, "evicted_keys")
    if evicted_keys is None or run.samples["run_id"].nunique() > 1:
        return unknown(
            "the server was restarted during the run, or was not sampled twice",
            "run it again; a restart loses what its AOF did not hold",
        )
    evicted = lost.evicted + keys["evicted"]
    deleted = lost.deleted + keys["deleted"]
    missing = lost.missing + keys["missing"]
    evidence = {
        "turns without state": f"{lost.gone:,}",
        "evicted": f"{lost.evicted:,}",
        "expired": f"{lost.expired:,}",
        "deleted": f"{lost.deleted:,}",
        "unexplained": f"{lost.missing:,}",
        "keys looked for at the end": f"{sum(keys.values()):,}",
        "of these evicted": f"{keys['evicted']:,}",
        "evicted_keys": f"{evicted_keys:,}",
    }
    if deleted or missing:
        why = "which commands deleted" if deleted >= missing else "which nothing explains"
        return fail(
            f"{format_count(deleted + missing, 'conversation')} were gone before their time, {why}",
            evidence,
            "look for another writer or a FLUSHALL: compare cmdstat_del and cmdstat_flushall",
        )
    gone = f"{format_count(evicted, 'conversation')} were gone before their time"
    if evicted > evicted_keys:
        return fail(
            f"{gone}, and the server evicted only {format_count(evicted_keys, 'key')}",
            evidence,
            "something else deletes conversations: compare cmdstat_del, or look for a second "
            "server behind the same name",
        )
    if not evicted and not evicted_keys:
        return ok("no conversation was gone before its time, and no key was evicted", evidence)
    return ok(f"{gone}; {_against(run, keys, evicted, evicted_keys)}", evidence)


def _against(run: Run, keys: Mapping[str, int], evicted: int, evicted_keys: int) -> str:
    """How the losses that were found stand against what the server counted."""
    counted = f"the server evicted {format_count(evicted_keys, 'key')}"
    if not any(keys.values()):
        return f"{counted}, which can explain them; the others were not looked for at the end"
    # A state that nobody asked for until its time to live had run out may have been evicted before.
    # The server says how many keys it expired, the probe's own reading having expired the rest.
    late = max(0, _run_out(run) + keys["expired"] - (growth(run.samples, "expired_keys") or 0))
    more = evicted_keys - evicted - late
    found_late = f"; {late:,} of them were found only after their time to live" if late else ""
    if abs(more) <= max(1, _OFF_SHARE_MAX * evicted_keys):
        return f"{counted}: they agree{found_late}"
    share = format_share(abs(more) / max(1, evicted_keys))
    if more < 0:
        return f"{counted}, {-more:,} fewer ({share}) than were found with those past their time"
    unread = keys["unread"]
    may_be = f"{unread:,} that were not looked for in time, or " if unread else ""
    return f"{counted}, {more:,} more ({share}), which may be {may_be}keys that are not the run's"


def _run_out(run: Run) -> int:
    """States of the run that a turn found gone when their time to live had run out."""
    origins = run.events["elapsed_s"][run.events["label"] == "origin"]
    start_s = float(origins.min()) if len(origins) else 0.0
    return run_out(run.turns, start_s=start_s)
