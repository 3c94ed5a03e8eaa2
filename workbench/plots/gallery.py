"""The charts that there are of a run, in the order in which somebody meets the questions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workbench.plots.ages import figure_ages_at_eviction
from workbench.plots.aof import figure_aof, figure_latency_by_rewrite
from workbench.plots.connections import figure_breaker, figure_connections, figure_pool
from workbench.plots.conversation import figure_conversation
from workbench.plots.evictions import figure_eviction, figure_loss_by_pause
from workbench.plots.growth import figure_aof_growth
from workbench.plots.heatmap import figure_latency_heatmap
from workbench.plots.latency import figure_latency, figure_latency_by_step
from workbench.plots.outcomes import figure_outcomes, figure_patterns, figure_tries
from workbench.plots.percentiles import figure_percentiles
from workbench.plots.replies import figure_replies
from workbench.plots.sides import figure_sides
from workbench.plots.spikes import figure_spikes
from workbench.plots.stalls import figure_stalls
from workbench.plots.style import Chart
from workbench.plots.survival import figure_survival
from workbench.plots.waterfall import figure_waterfall
from workbench.plots.whatif import figure_what_if

__all__ = ["GALLERY", "Exhibit"]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """
    A chart, and the question that it answers.

    Attributes:
        question: as somebody would ask it.
        figure: draws it, of a run.
        draws: the functions of the same file or another that draw its panels, each on an Axes of
            one's own: module and name.
    """

    question: str
    figure: Callable[..., Chart]
    draws: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """For its file: ``latency-heatmap``."""
        return self.figure.__name__.removeprefix("figure_").replace("_", "-")


GALLERY: Final = (
    Exhibit(
        "What does the cap do to conversations?",
        figure_eviction,
        (("memory", "draw_memory"), ("evictions", "draw_evictions"), ("latency", "draw_latency")),
    ),
    Exhibit(
        "Who loses a conversation?", figure_loss_by_pause, (("evictions", "draw_loss_by_pause"),)
    ),
    Exhibit(
        "How long may people pause?",
        figure_survival,
        (("survival", "draw_survival"),),
    ),
    Exhibit(
        "How old is what is evicted, and how long would it have lived?",
        figure_ages_at_eviction,
        (("ages", "draw_ages"),),
    ),
    Exhibit("What would another size do?", figure_what_if, (("whatif", "draw_what_if"),)),
    Exhibit(
        "What is the memory made of, and does a rewrite still fit?",
        figure_waterfall,
        (("waterfall", "draw_waterfall"),),
    ),
    Exhibit(
        "How long do people wait, and for what?",
        figure_latency,
        (("latency", "draw_latency"), ("clocks", "draw_clocks"), ("latency", "draw_parts")),
    ),
    Exhibit(
        "When do the few wait that wait long?",
        figure_latency_heatmap,
        (("heatmap", "draw_latency_heatmap"),),
    ),
    Exhibit(
        "How long does one turn in so many wait?",
        figure_percentiles,
        (("percentiles", "draw_percentiles"),),
    ),
    Exhibit(
        "Which step waits longest?", figure_latency_by_step, (("latency", "draw_latency_rows"),)
    ),
    Exhibit(
        "What do AOF rewrites cost?",
        figure_aof,
        (("aof", "draw_aof_size"), ("aof", "draw_resident"), ("latency", "draw_latency")),
    ),
    Exhibit(
        "What does a rewrite do to people?",
        figure_latency_by_rewrite,
        (("latency", "draw_latency_rows"),),
    ),
    Exhibit("When is the next rewrite due?", figure_aof_growth, (("growth", "draw_aof_growth"),)),
    Exhibit(
        "What does persistence stop the server with?",
        figure_stalls,
        (("stalls", "draw_forks"), ("stalls", "draw_fsyncs")),
    ),
    Exhibit(
        "Is the time spent in the server, or on the way to it?",
        figure_sides,
        (("sides", "draw_service"), ("sides", "draw_commands")),
    ),
    Exhibit(
        "Which moments stand out, and what was the cause?",
        figure_spikes,
        (("spikes", "draw_spikes"), ("spikes", "draw_causes")),
    ),
    Exhibit(
        "What shows of a server that is only sampled?",
        figure_replies,
        (("replies", "draw_replies"), ("replies", "draw_commands_rate")),
    ),
    Exhibit(
        "What became of the turns?",
        figure_outcomes,
        (
            ("outcomes", "draw_turns"),
            ("outcomes", "draw_gone_wrong"),
            ("outcomes", "draw_repeated"),
        ),
    ),
    Exhibit("What do retries cost?", figure_tries, (("outcomes", "draw_tries"),)),
    Exhibit("What went wrong, and how often?", figure_patterns, (("outcomes", "draw_patterns"),)),
    Exhibit(
        "Are there enough connections?",
        figure_connections,
        (
            ("connections", "draw_connections"),
            ("connections", "draw_rejected"),
            ("connections", "draw_slots"),
        ),
    ),
    Exhibit("Do turns wait for one?", figure_pool, (("connections", "draw_queue"),)),
    Exhibit(
        "Who fails at once while nobody answers?",
        figure_breaker,
        (("connections", "draw_failures"),),
    ),
    Exhibit(
        "What happened to one conversation?",
        figure_conversation,
        (("conversation", "draw_turns_of_one"), ("conversation", "draw_time_left")),
    ),
)
"""Every chart of a run."""
