"""Tables as people read them: rounded, with units, without an index."""

import math
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from workbench.units import format_duration, format_share

__all__ = ["latency_table", "loss_table"]


def loss_table(by_step: pd.DataFrame) -> Styler:
    """
    Which messages found their conversation evicted.

    Args:
        by_step: as ``analysis.loss.loss_by_step`` makes it.
    """
    formats: dict[str, Any] = {"turns": "{:,}", "evicted": "{:,}", "share": format_share}
    return _plain(by_step.rename(columns={"evicted_share": "share"})).format(formats)


def latency_table(groups: pd.DataFrame) -> Styler:
    """
    How long each group of turns waited; a percentile of too few turns says so.

    Args:
        groups: with ``turns``, ``p50`` and ``p99`` (µs), as ``analysis.latency`` makes them.
    """
    formats: dict[str, Any] = {"turns": "{:,}", "p50": _wait, "p99": _wait}
    return _plain(groups).format(formats)


def _wait(response_us: float) -> str:
    return "too few" if math.isnan(response_us) else format_duration(response_us / 1e6)


def _plain(frame: pd.DataFrame) -> Styler:
    # The ids of a Styler's cells are random unless it is named.
    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    styled = frame.style.hide(axis="index").set_uuid("table")
    return styled.set_properties(subset=words, **{"text-align": "left"})
