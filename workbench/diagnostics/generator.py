"""Generator validity: did the load keep up, so that the figures are the server's?"""

from workbench.diagnostics.finding import Judgement, fail, generator_validity, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_duration, format_share

__all__ = ["generator"]


@rule(
    "generator-validity",
    title="Did the load generator keep up?",
    severity="warning",
    needs=("operations", "generator"),
    why="no figure of a load holds that was not offered as it was meant",
    remedy=None,
    source="lag, delivery, CPU and sampling of the run itself; limits in docs/explanation",
)
def generator(run: Run) -> Judgement:
    """Fails when the load was late, starved or incomplete: other figures are then unknown."""
    found = generator_validity(run)
    since = f" ({run.latency_since})" if run.manifest.experiment.get("closed_loop") else ""
    evidence = {
        "turns due": f"{found.turns:,}",
        "completed": format_share(found.delivered_share),
        "lag p99": format_duration(found.lag_us_p99 / 1e6),
        "response p99": format_duration(found.response_us_p99 / 1e6) + since,
        "CPU of the load": format_share(found.cpu_share),
        "longest gap of the sampler": format_duration(found.sample_gap_max_s),
    }
    if found.turns < 100:
        return unknown(found.reasons[0], "run it again, to its end", evidence)
    if not found.valid:
        return fail(
            found.reasons[0],
            evidence,
            "; ".join(found.reasons[1:]) or "run it again on a quieter machine, or at a lower rate",
        )
    return ok("the load came when it was due, and all of it was sent", evidence)
