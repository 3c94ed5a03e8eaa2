"""The analysis bench: a command's whole tree is measured, and a busy machine is no failure."""

from workbench.benches.analysis import Used, _figures, used_by

CALM = {"wall_s": 70.0, "cpu_s": 50.0, "peak_bytes": 2**30, "waiting": 1.0}


def by_id(used, **bounds):
    found = _figures(
        "report", "report", used, 10, **{"within_s": "<=60", "mib": "<=2048", **bounds}
    )
    return {figure.id: figure for figure in found}


def test_command_is_measured_with_what_it_starts(tmp_path):
    """One that ends well, and one that does not and says why."""
    used = used_by(["list"], tmp_path)
    refused = used_by(["list", "--nonsense"], tmp_path)

    assert used.failed == ""
    assert used.peak_bytes > 10 * 2**20
    assert used.cpu_s > 0
    assert "nonsense" in refused.failed


def test_time_over_its_bound_does_not_hold_unless_the_machine_was_busy():
    """Memory is what it is on any machine."""
    calm, busy = by_id(Used(**CALM)), by_id(Used(**CALM | {"waiting": 4.0}))

    assert calm["report_s"].holds is False
    assert busy["report_s"].holds is None
    assert "busy" in busy["report_s"].why
    assert calm["report_mib"].holds is busy["report_mib"].holds is True
    assert by_id(Used(**CALM | {"peak_bytes": 2**32}))["report_mib"].holds is False


def test_command_that_failed_holds_nothing():
    (lost,) = by_id(Used(**CALM, failed="RunError: x")).values()

    assert (lost.holds, lost.value) == (False, None)
    assert "RunError: x" in lost.why
