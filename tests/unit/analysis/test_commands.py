"""The server's own latency of each command."""

import math

from tests.frames import snapshot
from workbench.analysis.commands import command_latency


def look(elapsed_s, **calls):
    """A look at a server with these commands: calls and their time, µs."""
    info = {
        f"cmdstat_{name}": {"calls": count, "usec": usec} for name, (count, usec) in calls.items()
    }
    unasked = {"cmdstat_get"} - set(info)
    return snapshot(elapsed_s, info=info, without=unasked)


def test_calls_and_mean_are_of_the_time_between_the_looks():
    """What came before is not the run's."""
    found = command_latency([look(0, fcall=(100, 1000)), look(9, fcall=(300, 5000))])

    (row,) = found.to_dict("records")

    assert (row["command"], row["calls"], row["mean"]) == ("FCALL", 200, 20.0)


def test_what_took_the_most_time_comes_first_and_what_lookers_ask_is_left_out():
    """INFO is the sampler's."""
    seen = [look(0), look(9, set=(10, 10), fcall=(5, 500), info=(99, 9999))]

    assert command_latency(seen)["command"].tolist() == ["FCALL", "SET"]
    assert command_latency(seen, most=1)["command"].tolist() == ["FCALL"]


def test_a_server_that_was_restarted_counts_from_its_start():
    """The look before it is of another life."""
    before, after = look(0, fcall=(100, 1000)), look(9, fcall=(30, 600))
    after.info["run_id"] = "second"

    assert command_latency([before, after])["calls"].tolist() == [30]


def test_percentiles_are_the_server_s_own_and_unknown_where_it_has_none():
    """Servers before 7.0 count calls and time alone."""
    seen = look(9, get=(100, 200), set=(100, 100))

    table = command_latency([look(0), seen]).set_index("command")

    assert table.loc["GET", ["p50", "p99", "p999"]].tolist() == [1.0, 3.0, 20.0]
    assert math.isnan(table["p99"]["SET"])


def test_a_run_without_looks_tells_nothing():
    """As one that was recorded by an older workbench."""
    assert command_latency([]).empty
