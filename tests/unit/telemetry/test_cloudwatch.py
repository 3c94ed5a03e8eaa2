"""Lines of the embedded metric format, and parts of a request, within CloudWatch's limits."""

import json
from itertools import pairwise

import pytest

from workbench.telemetry.cloudwatch import batches, data, emf_lines
from workbench.telemetry.metrics import Reading, samples

UNITS = {"Seconds", "Bytes", "Count", "None"}
INFO = {
    "used_memory": 5,
    "redis_version": "7.0.15",
    "total_error_replies": 3,
    "errorstat_OOM": {"count": 2},
    "cmdstat_get": {"calls": 4, "usec": 9},
}


def check_emf(line):
    """
    Hold a line against the specification of the embedded metric format; what it says of figures.

    Raises:
        AssertionError: it is not of that form.
    """
    assert len(line.encode()) <= 1024**2
    root = json.loads(line)
    assert isinstance(root["_aws"]["Timestamp"], int)
    told = {}
    directives = root["_aws"]["CloudWatchMetrics"]
    assert directives
    for directive in directives:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        assert directive["Dimensions"]
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for name in dimensions:
                assert isinstance(root[name], str)
                assert 1 <= len(root[name]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert {"Name", "Unit"} <= metric.keys() <= {"Name", "Unit", "StorageResolution"}
            assert metric["Unit"] in UNITS
            assert metric.get("StorageResolution", 60) in {1, 60}
            value = root[metric["Name"]]
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
            key = tuple(root[name] for name in directive["Dimensions"][0])
            assert (metric["Name"], key) not in told
            told[metric["Name"], key] = value
    return told


def emf(info=INFO, **options):
    found = samples(Reading(info=info))
    settings = {"namespace": "N", "server": "s", "unix_s": 1.5, "high_resolution": False}
    return list(emf_lines(found, **(settings | options)))


def test_lines_are_of_the_form_and_hold_every_figure():
    told = {}
    for line in emf():
        told |= check_emf(line)

    assert told["MemoryUsed", ("s",)] == 5
    assert told["Errors", ("s", "OOM")] == 2
    assert told["Commands", ("s", "get")] == 4
    assert len(told) == len(list(samples(Reading(info=INFO)))) - 1  # the server's info is a word


def test_what_the_server_is_can_be_searched_for_in_each_line():
    assert {json.loads(line)["Version"] for line in emf()} == {"7.0.15"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda root: root["_aws"].pop("Timestamp"),
        lambda root: root.pop("Server"),
        lambda root: root.update(MemoryUsed="5"),
        lambda root: root["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].update(Unit="bytes"),
    ],
)
def test_line_of_another_form_would_be_found(wrong):
    """The control of the tests above."""
    line = next(line for line in emf() if "MemoryUsed" in line)
    root = json.loads(line)
    wrong(root)

    with pytest.raises((AssertionError, KeyError)):
        check_emf(json.dumps(root))


def test_figures_each_second_are_kept_by_the_second():
    metrics = json.loads(emf(high_resolution=True)[0])["_aws"]["CloudWatchMetrics"][0]["Metrics"]

    assert {metric["StorageResolution"] for metric in metrics} == {1}


def test_many_commands_are_many_lines_each_within_the_limits():
    info = {f"cmdstat_c{number}": {"calls": 1, "usec": 1} for number in range(300)}

    lines = emf(info)

    assert len(lines) == 301
    assert sum(len(check_emf(line)) for line in lines) == 1 + 600


def test_request_holds_at_most_1000_figures_and_1_mb():
    """As few parts as may be, in the order of the figures."""
    info = {f"cmdstat_c{number}": {"calls": number, "usec": 1} for number in range(1250)}
    made = data(samples(Reading(info=info)), server="s", unix_s=1.0, high_resolution=False)
    assert len(made) == 2501

    parts = list(batches(made))
    small = list(batches(made, bytes_max=5_000))

    assert [each for part in parts for each in part] == made
    assert [each for part in small for each in part] == made
    assert max(map(len, parts)) <= 1000
    assert all(len(json.dumps(part)) <= 1_000_000 for part in parts)
    assert all(len(json.dumps(part)) <= 5_000 for part in small)
    assert all(len(first) > 1 for first, _ in pairwise(small))


def test_datum_has_its_unit_its_time_and_its_dimensions():
    (up,) = data(samples(Reading(info=None)), server="s", unix_s=1.0, high_resolution=True)

    assert up == {
        "MetricName": "Up",
        "Dimensions": [{"Name": "Server", "Value": "s"}],
        "Timestamp": 1.0,
        "Value": 0.0,
        "Unit": "None",
        "StorageResolution": 1,
    }
