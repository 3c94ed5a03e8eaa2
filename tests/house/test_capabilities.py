"""The tests' own rules: what a machine lacks is skipped by name, or refused by name."""

import pytest

from tests import capabilities


@pytest.fixture
def machine(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A machine that has fire and no wheel."""
    monkeypatch.setattr(capabilities, "KNOWN", {"fire": lambda: True, "wheel": lambda: False})
    capabilities.available.cache_clear()
    hooks = "pytest_addoption, pytest_configure, pytest_runtest_setup"
    pytester.makeconftest(f"from tests.capabilities import {hooks}")
    # As in pyproject.toml: locust's plugin would replace the sockets of this very process.
    pytester.makeini("[pytest]\naddopts = -p no:valkey -p no:locust")
    yield pytester
    capabilities.available.cache_clear()


def test_missing_capability_skips_the_test_and_is_named(machine):
    """A test whose capability is missing is skipped, and the reason says which one."""
    machine.makepyfile(
        """
        import pytest

        @pytest.mark.capability("fire")
        def test_cook(): pass

        @pytest.mark.capability("fire", "wheel")
        def test_drive(): raise AssertionError("it must not run")
        """
    )

    result = machine.runpytest_inprocess("-rs")

    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*lacks the capability 'wheel'*"])


def test_required_capability_that_is_missing_stops_the_session(machine):
    """--require turns what would be a skip into a refusal to start."""
    machine.makepyfile("def test_anything(): pass")

    result = machine.runpytest_inprocess("--require", "fire", "--require", "wheel")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*required, and missing on this machine: wheel*"])


def test_required_capability_that_is_there_changes_nothing(machine):
    """--require passes where the capability is there."""
    machine.makepyfile("def test_anything(): pass")

    result = machine.runpytest_inprocess("--require", "fire")

    result.assert_outcomes(passed=1)


def test_unknown_required_capability_is_an_error(machine):
    """A misspelt --require is refused, not ignored."""
    machine.makepyfile("def test_anything(): pass")

    result = machine.runpytest_inprocess("--require", "wheels")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no capability 'wheels'; did you mean 'wheel'?*"])


def test_unknown_capability_in_a_marker_is_an_error(machine):
    """A misspelt marker fails its test instead of skipping or passing it."""
    machine.makepyfile(
        """
        import pytest

        @pytest.mark.capability("fier")
        def test_cook(): pass
        """
    )

    result = machine.runpytest_inprocess()

    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*no capability 'fier'; did you mean 'fire'?*"])


def test_slow_test_is_left_out_and_named_unless_asked_for(machine):
    """A slow test is skipped with a word on how to run it, and runs with --slow."""
    machine.makepyfile(
        """
        import pytest

        @pytest.mark.slow
        def test_sleep(): pass
        """
    )

    left_out = machine.runpytest_inprocess("-rs")
    asked_for = machine.runpytest_inprocess("--slow")

    left_out.assert_outcomes(skipped=1)
    left_out.stdout.fnmatch_lines(["*slow: `make test-full` runs it*"])
    asked_for.assert_outcomes(passed=1)
