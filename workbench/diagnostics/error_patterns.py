"""Error patterns: does the server's log warn of what no other rule looks at?"""

from itertools import chain

from workbench.analysis.patterns import UNCLAIMED, patterns, server_entries
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count

__all__ = ["error_patterns"]

_TOLD_MAX = 5
_CHARACTERS_MAX = 120


@rule(
    "error-patterns",
    title="Does the server's log warn of nothing that no other rule looks at?",
    severity="warning",
    needs=("samples",),
    why="what a server warns of in its log alone, such as a crash or a lost replica, shows in "
    "people's conversations next",
    remedy=Remedy(
        redis_conf="none: it depends on the message; loglevel notice keeps such lines in the log",
        compose="docker compose logs redis-state",
        ecs="logConfiguration: the awslogs driver, so that the log outlives the task",
    ),
    source="lines of level # (warning) in the server's log, without those of start and shutdown "
    "and those of other rules (workbench.analysis.patterns; Redis 7.0.15, Valkey 9.1.2)",
    # What stands in the log stands there whatever the load did.
    holds_if_late=True,
)
def error_patterns(run: Run) -> Judgement:
    """Fails when a server of the run warned of something that no other rule looks at."""
    logs = run.server_logs
    if not logs:
        return unknown(
            "the server's log cannot be read from here",
            "read it where it lies: workbench errors --log FILE",
        )
    entries = list(
        chain.from_iterable(
            server_entries(log.read_text(errors="replace").splitlines(), log.name) for log in logs
        )
    )
    odd = patterns(entry for entry in entries if entry.rule == UNCLAIMED)
    if odd.empty:
        return ok(
            "no line of the server's log warns of what no other rule looks at",
            {"of other rules": format_count(len(entries), "line")},
        )
    evidence = {
        _short(str(text)): format_count(int(count), "line")
        for text, count in zip(odd["template"][:_TOLD_MAX], odd["count"], strict=False)
    }
    more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
    return fail(
        f"the server's log warns of what no other rule looks at: {_short(odd['template'].iloc[0])}"
        f"{more}",
        evidence,
        f"read these lines: workbench errors {run.name}",
    )


def _short(text: str) -> str:
    if len(text) > _CHARACTERS_MAX:
        text = f"{text[:_CHARACTERS_MAX].rsplit(maxsplit=1)[0]} …"
    return text.rstrip(".")
