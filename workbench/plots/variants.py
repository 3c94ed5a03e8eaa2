"""Several settings on the same turns: who is not served, how long one waits, how full it is."""

from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from workbench.analysis.variants import Variants
from workbench.plots.annotate import end_labels, limit_line
from workbench.plots.latency import draw_latency_rows
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.units import format_duration, format_share

__all__ = [
    "draw_memory_shares",
    "draw_unserved",
    "figure_memory_by_variant",
    "figure_unserved",
    "figure_waits_by_variant",
]

_COLOURS: Final = (STATE, SECOND, TAIL, LOSS, REFERENCE)
_PARTS: Final = {
    "lost": ("lost their state", LOSS, ""),
    "expired": ("found it expired", TAIL, "..."),
    "failed": ("failed", REFERENCE, "///"),
}
_DASHES: Final = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))


def draw_unserved(ax: Axes, table: pd.DataFrame) -> Axes:
    """
    Turns that lost their state, found it expired, or failed, of all sent; one bar a variant.

    Args:
        ax: y is one variant below the other.
        table: as ``Variants.table``.
    """
    ax.set_title("Turns that were not served, share of those sent")
    at = range(len(table))
    shares = table[[*_PARTS]].div(table["turns"], axis=0)
    left = shares.cumsum(axis=1) - shares
    for name, (_, colour, hatch) in _PARTS.items():
        ax.barh(
            *(at, shares[name]),
            left=left[name],
            color=colour,
            height=0.55,
            hatch=hatch,
            edgecolor="white" if hatch else None,
        )
    ends = shares.sum(axis=1)
    most = max(0.001, float(ends.max()))
    for y, (end, row) in enumerate(zip(ends, shares.to_dict("records"), strict=True)):
        told = ", ".join(
            f"{format_share(row[name])} {words}"
            for name, (words, *_) in _PARTS.items()
            if row[name]
        )
        ax.annotate(
            told or "none",
            (end, y),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=REFERENCE,
            annotation_clip=False,
        )
    ax.set_xlim(0, 1.45 * most)
    if most > 0.7:
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0 if most > 0.05 else 1))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_yticks(at, table["value"])
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    return ax


def draw_memory_shares(ax: Axes, variants: Variants) -> Axes:
    """
    ``used_memory`` of each variant, of its cap, over the measured phase.

    Args:
        ax: x is elapsed time, s.
        variants: up to five can be told by their colours.
    """
    ax.set_title("used_memory, share of the cap")
    labels, highest, until_s = [], 1.0, 1.0
    for at, each in enumerate(variants.each):
        polls = each.run.samples
        polls = polls[polls["elapsed_s"].between(0, each.run.measured_s) & (polls["maxmemory"] > 0)]
        if polls.empty:
            continue
        share = polls["used_memory"] / polls["maxmemory"]
        colour = _COLOURS[at % len(_COLOURS)]
        ax.plot(polls["elapsed_s"], share, color=colour, ls=_DASHES[at % len(_DASHES)])
        labels.append((float(share.iloc[-1]), each.value, colour))
        highest, until_s = max(highest, float(share.max())), float(polls["elapsed_s"].iloc[-1])
    limit_line(ax, 1.0)
    ax.set_ylim(0, 1.12 * highest)
    ax.set_xlim(0, until_s)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("elapsed, s")
    end_labels(ax, labels)
    return ax


@styled
def figure_unserved(variants: Variants) -> Chart:
    """Whose turn is not served, under each setting."""
    table = variants.table
    figure = Figure(figsize=(9.0, 1.4 + 0.45 * len(table)))
    draw_unserved(figure.subplots(), table)
    figure.suptitle(_unserved_title(variants), x=0.012, ha="left")
    first = variants.each[0].value
    told = [f"{each.value} {each.told}, {each.verdict}" for each in variants.changes]
    return Chart(figure, f"Against {first}: {'; '.join(told)}.")


def _unserved_title(variants: Variants) -> str:
    table = variants.table
    shares = dict(zip(table["value"], table["unserved_share"], strict=True))
    if not any(shares.values()):
        return "Every turn was served under each setting"
    best, like = variants.best, variants.like_best
    least = f"{best} leaves {format_share(shares[best])} of the turns unserved"
    if len(like) == len(shares) - 1:
        others = ", ".join(f"{value} {format_share(shares[value])}" for value in like)
        return f"{least}, {others}: not told apart"
    worst = max(shares, key=lambda value: shares[value])
    alike = f", and is not told apart from {' and '.join(like)}" if like else ""
    return f"{least}{alike}; {worst} leaves {format_share(shares[worst])}"


@styled
def figure_waits_by_variant(variants: Variants) -> Chart:
    """How long one waits under each setting, whether the answer is a refusal or not."""
    rows = variants.table.set_index("value")[["turns", "p50", "p99"]]
    figure = Figure(figsize=(9.0, 1.6 + 0.5 * len(rows)))
    draw_latency_rows(figure.subplots(), rows, since=variants.each[0].run.latency_since)
    known = rows["p99"].dropna()
    title = "Too few turns to tell how long one waits"
    if len(known) > 1:
        slow, fast = str(known.idxmax()), str(known.idxmin())
        title = (
            f"One turn in 100 waits {format_duration(known[slow] / 1e6)} under {slow}, "
            f"{format_duration(known[fast] / 1e6)} under {fast}"
        )
    figure.suptitle(title, x=0.012, ha="left")
    failed = variants.table.set_index("value")["failed_p50"].dropna()
    told = [
        f"{value} p50 {format_duration(row['p50'] / 1e6)}, p99 {format_duration(row['p99'] / 1e6)}"
        for value, row in rows.iterrows()
    ]
    ends = ", ".join(f"{format_duration(us / 1e6)} under {value}" for value, us in failed.items())
    among = f" Failures are among these; half of them took no longer than {ends}." if ends else ""
    late = [each.value for each in variants.each if each.run.manifest.status == "invalid"]
    doubt = f" The load was late, so these do not hold: {', '.join(late)}." if late else ""
    return Chart(figure, f"{'; '.join(told)}.{among}{doubt}")


@styled
def figure_memory_by_variant(variants: Variants) -> Chart:
    """How full each server was."""
    figure = Figure(figsize=(9.0, 3.4))
    draw_memory_shares(figure.subplots(), variants)
    table = variants.table
    full = table[table["memory_peak_share"] >= 0.98]
    title = f"{len(full)} of {len(table)} servers were at their cap"
    figure.suptitle(title, x=0.012, ha="left")
    told = [
        f"{row['value']} {format_share(row['memory_peak_share'])} at most, "
        f"{row['evicted']:,.0f} keys evicted"
        for row in table.to_dict("records")
    ]
    return Chart(figure, "; ".join(told) + ".")
