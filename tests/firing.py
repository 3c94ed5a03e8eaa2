"""Whether an alert fires on figures: its data evaluated, as monitoring systems do by its text."""

from itertools import pairwise

from workbench.diagnostics.alerts import Alert, Condition
from workbench.telemetry.metrics import METRICS, samples

__all__ = ["figures", "firing"]

Figures = dict[tuple[str, ...], float]

_HOLDS = {">": float.__gt__, ">=": float.__ge__, "<": float.__lt__}


def figures(reading) -> Figures:
    """The figures of a look, each by its metric's name and labels."""
    return {(each.metric.name, *each.labels): each.value for each in samples(reading)}


def firing(alert: Alert, looks: list[Figures]) -> bool:
    """Whether it fires at the end of looks that lie within one window."""
    values = [(condition, _value(condition, looks)) for condition in alert.conditions]
    if alert.silence and values[0][1] is None:
        return True
    return all(
        value is not None and _HOLDS[condition.operator](float(value), float(condition.limit))
        for condition, value in values
    )


def _value(condition: Condition, looks: list[Figures]) -> float | None:
    value = _reduced(condition.metric, condition, looks)
    if not condition.over:
        return value
    over = _reduced(condition.over, condition, looks)
    return None if value is None or not over else value / over


def _reduced(name: str, condition: Condition, looks: list[Figures]) -> float | None:
    labels = [condition.labels[label] for label in METRICS[name].labels if condition.labels]
    found = [look.get((name, *labels)) for look in looks]
    known = [each for each in found if each is not None]
    if condition.reduce == "latest":
        return found[-1]
    if len(known) < 2:
        return None
    if condition.reduce == "falls":
        return sum(now < before for before, now in pairwise(known))
    return sum(now - before if now >= before else now for before, now in pairwise(known))
