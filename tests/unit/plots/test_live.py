"""The picture of a live dashboard: its title is what the server does now."""

import threading

import matplotlib as mpl
import pytest

from tests.frames import operations
from workbench.plots.live import figure_live
from workbench.plots.style import styled
from workbench.runs.live import LiveRun
from workbench.runs.snapshot import Snapshot

MIB = 1024**2


def seen(*evicted, cap_bytes=10 * MIB, first_s=0.0, every_s=1.0):
    """A window of looks since then, one a second; the counter of evictions stood so at each."""
    rows = [
        {
            "unix_s": 1000.0 + first_s + n * every_s,
            "run_id": "first",
            "used_memory": 5 * MIB,
            "maxmemory": cap_bytes,
            "evicted_keys": count,
            "aof_base_size": MIB,
            "aof_current_size": MIB + n,
        }
        for n, count in enumerate(evicted)
    ]
    return LiveRun([Snapshot(unix_s=1000.0)], rows, begun_unix_s=1000.0)


@pytest.mark.parametrize(
    ("run", "title"),
    [
        (seen(0, 0), "Memory is at 50 % of the 10 MiB cap, and nothing is evicted"),
        (seen(0, 40), "At the 10 MiB cap, keys are evicted at 40/s"),
        (seen(0, 40, *[40] * 9), "Memory is at 50 % of the 10 MiB cap, and nothing is evicted"),
        (seen(0, 0, cap_bytes=0), "Memory is at 5 MiB, and has no cap"),
        (
            seen(0, first_s=0.5),
            "Memory is at 50 % of the 10 MiB cap; evictions are not known yet",
        ),
        (seen(90, 0), "Memory is at 50 % of the 10 MiB cap; evictions are not known yet"),
        (seen(0, 40, every_s=10), "At the 10 MiB cap, keys are evicted at 4/s"),
        (seen(), "The server was not seen yet"),
    ],
    ids=[
        "calm",
        "evicting",
        "evicted-before",
        "uncapped",
        "one-look",
        "begun-anew",
        "seldom",
        "none",
    ],
)
def test_title_says_what_goes_on_in_the_last_seconds(run, title):
    """Evictions of some seconds ago are in the picture, and no longer in its title."""
    assert figure_live(run).title == title


def test_axis_is_the_window_and_time_counts_from_the_beginning():
    """As the window moves on, its ticks keep their place in time."""
    panels = figure_live(seen(0, 0, 0, first_s=300.0)).figure.axes

    assert [panel.get_xlim() for panel in panels] == [(300.0, 302.0)] * 3


def test_third_panel_is_the_turns_where_there_are_any():
    """Else the AOF; the other two are the same."""
    turns = operations([{"elapsed_s": 0.1 + n / 500, "response_us": 900.0} for n in range(500)])

    with_turns = [ax.get_title(loc="left") for ax in figure_live(seen(0, 0, 0), turns).figure.axes]
    without = [ax.get_title(loc="left") for ax in figure_live(seen(0, 0, 0)).figure.axes]

    assert with_turns[:2] == without[:2]
    assert with_turns[2].startswith("Turn response")
    assert without[2].startswith("Size of the AOF")


def test_two_threads_that_draw_leave_the_settings_as_they_were():
    """They are the process's: the second waits until the first has put them back."""
    before = dict(mpl.rcParams)
    first_in, second_asked = threading.Event(), threading.Event()
    order = []

    @styled
    def first():
        first_in.set()
        second_asked.wait(5)
        order.append("first")

    @styled
    def second():
        order.append("second")

    def ask():
        first_in.wait(5)
        second_asked.set()
        second()

    threads = [threading.Thread(target=first), threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert order == ["first", "second"]
    assert dict(mpl.rcParams) == before
