"""Service level objectives: what is promised of the conversations, and whether a run kept it."""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import msgspec

from workbench.analysis.documents import updates
from workbench.analysis.failure import failed_share, sent
from workbench.analysis.latency import LEAST, percentiles_us
from workbench.analysis.loss import at_cap, loss
from workbench.checkout import slo_file
from workbench.diagnostics.finding import Verdict, broken_off, generator_validity, lateness
from workbench.errors import RunError, SloError, UsageError, nearest
from workbench.runs.facts import html_table, markdown_table
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, parse_duration

__all__ = ["TERMS", "Measured", "Objective", "Slo", "SloFindings", "Term", "judge", "read_slo"]

_TURNS_LEAST: Final = 100
_WAIT_MAX_S: Final = 3600.0
_COUNT_MAX: Final = 1_000_000_000
_HEAD: Final = ("verdict", "objective", "bound", "measured", "broken by, or why it is not known")


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What a run says of one objective.

    Attributes:
        value: in the unit of its term; NaN where it is not known.
        turns: that it rests on.
        least: turns that it takes; of fewer nothing is known.
    """

    value: float
    turns: int
    least: int = _TURNS_LEAST


@dataclass(frozen=True, slots=True)
class Term:
    """
    One objective that a file may set; the reference is made of these.

    Attributes:
        name: as it is written.
        field: of Slo.
        kind: ``duration``, ``share`` or ``count``.
        meaning: what is bounded.
        measure: from the run to the value.
        at_least: the bound is the least; else it is the most.
        timed: of a load that was late it says nothing, not even that it is broken.
    """

    name: str
    field: str
    kind: Literal["duration", "share", "count"]
    meaning: str
    measure: Callable[[Run], Measured]
    at_least: bool = False
    timed: bool = False


def _response(name: str) -> Callable[[Run], Measured]:
    def measure(run: Run) -> Measured:
        value_s = percentiles_us(run.measured_turns)[name] / 1e6
        return Measured(value_s, len(run.measured_turns), max(_TURNS_LEAST, LEAST[name]))

    return measure


def _errors(run: Run) -> Measured:
    return Measured(failed_share(run.measured_turns), len(sent(run.measured_turns)))


def _lost_state(run: Run) -> Measured:
    lost = loss(at_cap(run.measured_turns, run.samples))
    return Measured(lost.early / lost.turns if lost.turns else math.nan, lost.turns)


def _lost_updates(run: Run) -> Measured:
    found = updates(run.turns, run.key_rows)
    looked_at = found.looked_at + found.looked_at_last
    return Measured(found.lost + found.lost_last, looked_at, least=1)


def _delivered(run: Run) -> Measured:
    found = generator_validity(run)
    return Measured(found.delivered_share, found.turns)


TERMS: Final = (
    *(
        Term(
            f"response_{name}",
            f"response_{name}_s",
            "duration",
            f"{told} of the response, from the intended start",
            _response(name),
            timed=True,
        )
        for name, told in (
            ("p50", "median"),
            ("p99", "99th percentile"),
            ("p999", "99.9th percentile"),
        )
    ),
    Term(
        "error_share",
        "error_share",
        "share",
        "turns that were refused, timed out, lost every race or went wrong otherwise (outcomes "
        "`refused`, `timeout`, `conflict`, `error`), of all that were sent",
        _errors,
    ),
    Term(
        "lost_state_share",
        "lost_state_share",
        "share",
        "turns whose conversation was gone before its time to live was over (outcomes `evicted`, "
        "`restarted`, `deleted`, `elsewhere` and `missing`), of those that went on with one and "
        "were answered, since the first eviction if there was any; `expired` is no loss",
        _lost_state,
    ),
    Term(
        "lost_updates",
        "lost_updates",
        "count",
        "turns written on a document that lacked the acknowledged turn before (outcome "
        "`lost_update`), and documents that lacked their last one in the end, in the whole run",
        _lost_updates,
    ),
    Term(
        "delivered_share",
        "delivered_share",
        "share",
        "turns that were completed, of those that came due; below 98 % the run is invalid anyway",
        _delivered,
        at_least=True,
        timed=True,
    ),
)
"""Every objective that there is."""


@dataclass(frozen=True, slots=True)
class Slo:
    """
    Objectives; None where nothing is promised.

    Args:
        where: the file that they were read from.
        response_p50_s, response_p99_s, response_p999_s: at most, s, from the intended start.
        error_share, lost_state_share: at most, of 1.
        lost_updates: at most.
        delivered_share: at least, of 1.
    """

    where: str
    response_p50_s: float | None = None
    response_p99_s: float | None = None
    response_p999_s: float | None = None
    error_share: float | None = None
    lost_state_share: float | None = None
    lost_updates: int | None = None
    delivered_share: float | None = None


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whether one objective was kept.

    Attributes:
        objective: its name.
        meaning: what it bounds.
        verdict: ``pass``, ``fail`` or ``unknown``.
        bound, measured: in words, with their units.
        broken_by: by how much it was broken; empty if it was not.
        why: it is not known; empty if it is.
        unit: of the following: ``s``, ``share`` or ``count``.
        bound_value, measured_value: as numbers; the latter None where it is not known.
        broken_by_value: how far beyond the bound; 0 if it was kept, None if it is not known.
    """

    objective: str
    meaning: str
    verdict: Verdict
    bound: str
    measured: str
    broken_by: str = ""
    why: str = ""
    unit: str
    bound_value: float
    measured_value: float | None
    broken_by_value: float | None


class SloFindings(msgspec.Struct, frozen=True):
    """
    What became of each objective; shown as a table in a notebook.

    Attributes:
        slo: the file of the objectives.
        verdict: the gravest.
        objectives: in the order of the file's reference.
    """

    slo: str
    verdict: Verdict
    objectives: tuple[Objective, ...]

    head: ClassVar = _HEAD

    @property
    def says(self) -> str:
        """The verdict in one sentence: what was broken and by how much, or what is not known."""
        if self.verdict == "pass":
            return f"every objective of {self.slo} was kept"
        told = [
            f"{each.objective} is {each.measured}: {each.broken_by or each.why}"
            for each in self.objectives
            if each.verdict == self.verdict
        ]
        return "; ".join(told)

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells, a row an objective, under ``head``."""
        return [
            (each.verdict, each.objective, each.bound, each.measured, each.broken_by or each.why)
            for each in self.objectives
        ]

    def to_markdown(self) -> str:
        """The verdict and the table."""
        told = escape(f"**{self.verdict.upper()}** · Objectives of {self.slo}", quote=False)
        return f"{told}\n\n{markdown_table(self.head, self.rows())}"

    def __repr__(self) -> str:
        lines = [" · ".join(filter(None, row)) for row in self.rows()]
        return "\n".join([f"{self.slo}: {self.verdict}", *lines])

    def _repr_html_(self) -> str:
        told = escape(f"{self.verdict.upper()} · Objectives of {self.slo}")
        return f"<p><strong>{told}</strong></p>{html_table(self.rows(), head=self.head)}"


def read_slo(where: str | Path | None = None) -> Slo:
    """
    Objectives by their file; those of ``loadtests/slo.toml`` if none is named.

    Raises:
        SloError: it is not there, an unknown key, a value that makes no sense, or no objective at
            all; the message names the file, the key and the nearest right one.
    """
    path = slo_file() if where is None else Path(where)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SloError(f"there is no file {path}; an example is loadtests/slo.toml") from None
    except tomllib.TOMLDecodeError as error:
        raise SloError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise SloError(f"{path} is nested too deeply to be a file of objectives") from None
    except (OSError, ValueError) as error:  # also text that is not UTF-8, and names that hold NUL
        raise SloError(f"{path} cannot be read: {error}") from None
    return _from_toml(content, path)


def judge(run: Run, slo: Slo) -> SloFindings:
    """
    Hold a run against objectives.

    Nothing is kept on a run whose figures do not hold: it is unknown then. What was lost or failed
    there was lost all the same, but how long a load that was late waited, and how much of it was
    sent, says nothing of the server. Too few turns are unknown, lost updates excepted: each counts.
    """
    late = lateness(run)
    if run.manifest.status == "invalid" and not late:
        late = run.manifest.why or "the run is invalid"
    judged = tuple(_judged(run, *bounded, late=late) for bounded in _bounds(slo))
    verdicts = {each.verdict for each in judged}
    gravest: Verdict = "fail" if "fail" in verdicts else "unknown"
    return SloFindings(slo.where, "pass" if verdicts == {"pass"} else gravest, judged)


def _bounds(slo: Slo) -> Iterator[tuple[Term, float]]:
    for term in TERMS:
        bound = getattr(slo, term.field)
        if bound is not None:
            yield term, bound


def _judged(run: Run, term: Term, bound: float, *, late: str) -> Objective:
    measured, why = Measured(math.nan, 0), ""
    if not run.loaded:
        why = "the server was sampled, and not loaded by the workbench"
    else:
        try:
            measured = term.measure(run)
        except RunError as error:
            why = f"the run cannot be judged: {error}"
    value = measured.value
    broken = value < bound if term.at_least else value > bound
    if not why and measured.turns < measured.least and not (broken and term.kind == "count"):
        few = f"only {format_count(measured.turns, 'turn')}" if measured.turns else "no turn"
        why = f"{few} to tell by, and it takes {measured.least:,}"
    # A broken bound stands, unless the generator's own lateness may have broken it.
    if not why and (not broken or (term.timed and late)):
        why = broken_off(run) or late
    verdict: Verdict = "unknown" if why else "fail" if broken else "pass"
    known = math.isfinite(value)
    return Objective(
        objective=term.name,
        meaning=term.meaning,
        verdict=verdict,
        bound=f"at {'least' if term.at_least else 'most'} {_told(term, bound)}",
        measured=_told(term, value) if known else "not known",
        broken_by=_broken_by(term, bound, value) if verdict == "fail" else "",
        why=why,
        unit="s" if term.kind == "duration" else term.kind,
        bound_value=bound,
        measured_value=value if known else None,
        broken_by_value=None if why else abs(value - bound) * broken,
    )


def _broken_by(term: Term, bound: float, value: float) -> str:
    over = _told(term, abs(value - bound))
    if term.kind == "share":
        over = over.replace("%", "points")
    if term.at_least:
        return f"{over} under"
    times = value / bound if bound else 0
    return f"{over} over" + (f", {times:.3g} times the bound" if times >= 1.01 else "")


def _told(term: Term, value: float) -> str:
    if term.kind == "duration":
        return format_duration(value)
    return f"{value:,.0f}" if term.kind == "count" else _percentage(value)


def _percentage(share: float) -> str:
    """A share with three digits of what it lacks to 0 or to 1: a bound is 99.95 %, not 100 %."""
    least = 100 * min(share, 1 - share)
    digits = min(9, max(0, 2 - math.floor(math.log10(least)))) if least > 0 else 0
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def _from_toml(content: Mapping[str, Any], path: Path) -> Slo:
    terms = {term.name: term for term in TERMS}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in terms:
            kind = f"table [{name}]" if isinstance(value, dict) else f"key {name!r}"
            raise SloError(f"{path}: unknown {kind}{nearest(name, terms)}")
        if isinstance(value, dict):
            raise SloError(f"{path}: {name} is a table; write {_example(terms[name])}")
        values[terms[name].field] = _READ[terms[name].kind](terms[name], value, path)
    if not values:
        raise SloError(f"{path} sets no objective; known: {', '.join(terms)}")
    return Slo(where=str(path), **values)


def _duration(term: Term, value: object, path: Path) -> float:
    # A bare number would be seconds, and people mean milliseconds.
    if not isinstance(value, str) or value.strip().replace(".", "", 1).isdigit():
        raise SloError(
            f"{path}: {term.name} is {_shown(value)}, without a unit; write {_example(term)}"
        )
    try:
        bound_s = parse_duration(value)
    except (UsageError, OverflowError) as error:
        raise SloError(f"{path}: {term.name}: {error}") from None
    if not 0 < bound_s <= _WAIT_MAX_S:
        raise SloError(f"{path}: {term.name} is {value}, outside above 0 s to {_WAIT_MAX_S:g} s")
    return bound_s


def _share(term: Term, value: object, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SloError(
            f"{path}: {term.name} is not a number: {_shown(value)}; write {_example(term)}"
        )
    if not 0 <= value <= 1:
        raise SloError(f"{path}: {term.name} is {_shown(value)}, outside 0 to 1: it is a share")
    if term.at_least and not value:
        raise SloError(f"{path}: {term.name} is 0, which nothing breaks; write {_example(term)}")
    return float(value)


def _count(term: Term, value: object, path: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SloError(f"{path}: {term.name} is not a whole number: {_shown(value)}")
    if not 0 <= value <= _COUNT_MAX:
        raise SloError(f"{path}: {term.name} is {_shown(value)}, outside 0 to {_COUNT_MAX}")
    return value


_READ: Final[Mapping[str, Callable[[Term, object, Path], float]]] = {
    "duration": _duration,
    "share": _share,
    "count": _count,
}


def _example(term: Term) -> str:
    value = {"duration": '"250ms"', "share": "0.99" if term.at_least else "0.001", "count": "0"}
    return f"{term.name} = {value[term.kind]}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python prints
        text = "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."
