"""The memory waterfall: from the empty server to what a rewrite needs, against cap and limit."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.memory import MemoryParts, memory_parts
from workbench.plots.annotate import no_data, size_unit
from workbench.plots.palette import GROUND, STEP
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, Chart, styled
from workbench.plots.timeline import headline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_share

__all__ = ["draw_waterfall", "figure_waterfall"]

# Words stay readable where a limit runs through them.
_OVER_LINES: Final = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.8}
# A limit beyond this many times the memory would press the rest against the axis.
_IN_SIGHT: Final = 2.5
# The first bars are parts of used_memory.
_PARTS: Final = 6


def draw_waterfall(
    ax: Axes, parts: MemoryParts | None, *, limit_bytes: int | None = None, limit_name: str = ""
) -> Axes:
    """
    The parts of a server's memory, each beginning where the one above it ends, and their sums.

    Args:
        ax: y is one part below the other.
        parts: as ``analysis.memory.memory_parts`` makes them.
        limit_bytes: of the container or host; None if it is not known.
        limit_name: where the limit is from.
    """
    most_bytes = 0 if parts is None else parts.needed
    unit, unit_bytes = size_unit(most_bytes)
    ax.set_title(f"Memory, {unit}")
    if parts is None:
        no_data(ax, "no sample tells it")
        ax.set_xticks([])
        return ax
    steps = _steps(parts)
    most = most_bytes / unit_bytes
    marks = [("maxmemory", parts.cap)] if parts.cap else []
    if limit_bytes:
        marks.append((limit_name or "limit", limit_bytes))
    near = [
        (name, size / unit_bytes) for name, size in marks if size / unit_bytes <= _IN_SIGHT * most
    ]
    right = 1.16 * max([most, *(at for _, at in near)])
    for y, (_, start, size, colour) in enumerate(steps):
        begin, length = start / unit_bytes, 0.0 if size is None else size / unit_bytes
        ax.barh(y, length, left=begin, height=0.66, color=colour)
        ax.annotate(
            "unknown" if size is None else format_bytes(size),
            (max(begin, begin + length), y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=REFERENCE,
            fontsize="small",
            bbox=_OVER_LINES,
            zorder=4,
        )
    rows = len(steps)
    for name, at in near:
        ax.plot([at, at], [-0.5, rows + 0.35], color=REFERENCE, lw=1, ls=(0, (5, 4)), zorder=3)
        _say(ax, f"{name} {format_bytes(at * unit_bytes)}", at, rows, leftwards=at > 0.6 * right)
        rows += 1
    for name, size in marks:
        if size / unit_bytes > _IN_SIGHT * most:
            _say(ax, f"{name} {format_bytes(size)}, far to the right", right, rows, leftwards=True)
            rows += 1
    ax.set_xlim(0, max(right, 0.1))
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_yticks(range(len(steps)), [name for name, *_ in steps])
    ax.set_xlabel("each part begins where the one above it ends")
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    return ax


@styled
def figure_waterfall(run: Run) -> Chart:
    """What the server's memory is made of at its highest, and whether a rewrite still fits."""
    parts = memory_parts(run.samples, run.events, run.snapshots[-1].info if run.snapshots else {})
    limit_bytes, source = _limit(run)
    figure = Figure(figsize=(9.0, 4.9))
    headline(figure, run, _title(parts, limit_bytes))
    draw_waterfall(
        figure.subplots(), parts, limit_bytes=limit_bytes, limit_name=f"limit ({source})"
    )
    return Chart(figure, _reading(parts, limit_bytes))


def _steps(parts: MemoryParts) -> list[tuple[str, float, int | None, str]]:
    """Name, start, size and colour of each bar."""
    steps: list[tuple[str, float, int | None, str]] = []
    at = 0.0
    for name, size in (
        ("empty server", parts.startup),
        ("tables of keys, other overhead", parts.overhead),
        ("client buffers", parts.client_buffers),
        ("AOF buffer", parts.aof_buffer),
        ("replica buffers", parts.replica_buffers),
        ("dataset", parts.dataset),
    ):
        steps.append((name, at, size, STEP))
        at += size or 0
    beyond = "fragmentation, the program" if parts.fragmentation >= 0 else "not resident"
    without = "" if parts.copied is not None else " without a rewrite"
    steps += [
        ("used_memory", 0.0, parts.used, STATE),
        (beyond, parts.used, parts.fragmentation, SECOND),
        ("resident", 0.0, parts.resident, STATE),
        ("copied by a rewrite, at most", parts.held, parts.copied, LOSS),
        (f"needed{without}", 0.0, parts.needed, STATE),
    ]
    return steps


def _limit(run: Run) -> tuple[int | None, str]:
    """The limit of the server's own container or host, as far as it shows."""
    host = run.manifest.host
    source = str(host.get("memory_limit_source") or "")
    if not (run.host_seen or source == "given"):
        return None, source
    return host.get("memory_limit_bytes") or None, source


def _title(parts: MemoryParts | None, limit_bytes: int | None) -> str:
    if parts is None:
        return "The server was not sampled in this run"
    needed = format_bytes(parts.needed)
    if parts.copied is None:
        needed += " without a rewrite"
    if limit_bytes and parts.needed > limit_bytes:
        return f"The server needs {needed}: more than the limit of {format_bytes(limit_bytes)}"
    if parts.cap:
        cap = format_bytes(parts.cap)
        ratio = f"{parts.needed / parts.cap:.3g}"
        times = "as much" if ratio == "1" else f"{ratio} times as much"
        return f"Under a cap of {cap} the server needs {needed}: {times}"
    return f"Without a cap the server needs {needed}"


def _reading(parts: MemoryParts | None, limit_bytes: int | None) -> str:
    if parts is None:
        return "Nothing is known of its memory."
    used, resident = format_bytes(parts.used), format_bytes(parts.resident)
    if parts.fragmentation >= 0:
        says = [
            f"Resident memory was at its highest at {parts.at_s:.0f} s: {resident}, of which "
            f"{used} are used_memory."
        ]
    else:
        says = [
            f"Used memory was at its highest at {parts.at_s:.0f} s: {used}, of which only "
            f"{resident} were resident; the rest comes back when it is used."
        ]
    if parts.dataset is not None and parts.used:
        says.append(f"The dataset is {format_share(parts.dataset / parts.used)} of used_memory.")
    if parts.copied is not None:
        says.append(f"A rewrite copied {format_bytes(parts.copied)} at most.")
    else:
        says.append(
            "The copy of a rewrite of the measured load was not seen, so what one would take is "
            "not known."
        )
    says += _of_overhead(parts)
    if limit_bytes is None:
        says.append("The memory limit of the server's container or host is not known.")
    else:
        share = format_share(parts.needed / limit_bytes)
        says.append(
            f"The {format_bytes(parts.needed)} that are needed are {share} of the limit of "
            f"{format_bytes(limit_bytes)}."
        )
    return " ".join(says)


def _of_overhead(parts: MemoryParts) -> list[str]:
    """What is not known of the parts of used_memory, and where it is counted."""
    unknown = [name for name, _, size, _ in _steps(parts)[:_PARTS] if size is None]
    says = []
    if parts.overhead is None:
        says.append(f"Not known, and not drawn: {', '.join(unknown)}.")
    elif unknown:
        says.append(f"Not known, and counted with the overhead: {', '.join(unknown)}.")
    if parts.replica_buffers:
        says.append("The buffers of replicas are those of the run's last look.")
    return says


def _say(ax: Axes, text: str, x: float, y: float, *, leftwards: bool) -> None:
    ax.annotate(
        text,
        (x, y),
        xytext=(-5 if leftwards else 5, 0),
        textcoords="offset points",
        ha="right" if leftwards else "left",
        va="center",
        color=REFERENCE,
        fontsize="small",
    )
