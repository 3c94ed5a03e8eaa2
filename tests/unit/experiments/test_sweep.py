"""One setting after the other: what may be swept, and what is refused before anything starts."""

import tomllib
from types import SimpleNamespace

import pytest

from workbench.errors import ExperimentError, UsageError
from workbench.experiments import sweep as sweeping
from workbench.experiments.spec import experiment_toml, read_experiment
from workbench.experiments.sweep import sweep, with_knob
from workbench.units import MIB


@pytest.fixture
def base():
    return read_experiment("policies")


@pytest.mark.parametrize(
    ("knob", "value", "field", "found"),
    [
        ("maxmemory", "9mb", "maxmemory_bytes", 9 * MIB),
        ("ttl", "60s", "ttl_s", 60.0),
        ("turns_per_s", 50, "turns_per_s", 50),
        ("users", "7", "users", 7),
        ("driver", "reference", "driver", "reference"),
        ("maxmemory-policy", "allkeys-lfu", "settings", {"maxmemory-policy": "allkeys-lfu"}),
        ("hz", 100, "settings", {"hz": "100"}),
    ],
)
def test_knob_is_a_key_or_a_setting(base, knob, value, field, found):
    """The rest stays as it is."""
    changed = with_knob(base, knob, value)

    assert getattr(changed, field) == found
    assert (changed.seed, changed.mix) == (base.seed, base.mix)


def test_setting_has_the_last_word(base):
    """Over the profile's policy."""
    profile = with_knob(base, "maxmemory-policy", "noeviction").profile()

    assert profile.directives()["maxmemory-policy"] == "noeviction"
    assert base.profile().directives()["maxmemory-policy"] == "allkeys-lru"


@pytest.mark.parametrize(
    ("knob", "value", "says"),
    [
        ("turn_per_s", 5, "no knob 'turn_per_s'; did you mean 'turns_per_s'"),
        ("", 5, "no knob ''"),
        ("dir", "/tmp", "dir in .settings. is of the place"),
        ("requirepass", "x", "requirepass in .settings. is of the place"),
        ("hz", "10\nport 1", "no line of a redis.conf"),
        ("maxmemory", "1mb", "maxmemory is under 2mb"),
        ("users", "many", "'many' is not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(base, knob, value, says):
    """Before anything is started."""
    with pytest.raises(UsageError, match=says):
        with_knob(base, knob, value)


@pytest.mark.parametrize("values", [["a"], [], ["a", "a"], "allkeys-lru", 3])
def test_sweep_takes_two_values(values, monkeypatch):
    """Each once; nothing is started for one."""
    monkeypatch.setattr(sweeping, "carry_out", lambda *_, **__: pytest.fail("it was started"))

    with pytest.raises(UsageError, match="values"):
        sweep(values=values)


def test_last_value_is_checked_before_the_first_run(monkeypatch):
    """A minute would be lost."""
    monkeypatch.setattr(sweeping, "carry_out", lambda *_, **__: pytest.fail("it was started"))

    with pytest.raises(UsageError, match="is not a size"):
        sweep("maxmemory", ["5mb", "6mg"])


def test_interrupt_ends_the_sweep(monkeypatch, tmp_path):
    """The runs before it are kept, and none is started after it."""
    stopped = SimpleNamespace(manifest=SimpleNamespace(status="interrupted"))
    started = []
    monkeypatch.setattr(sweeping, "carry_out", lambda chosen, *_, **__: started.append(chosen))
    monkeypatch.setattr(sweeping, "Run", lambda _: stopped)

    with pytest.raises(KeyboardInterrupt):
        sweep(out=tmp_path, say=lambda _: None)

    assert len(started) == 1


def test_settings_of_an_experiment_are_written_as_they_were_read(tmp_path):
    """In a file and back; yes and no as redis.conf has them."""
    path = tmp_path / "mine.toml"
    path.write_text('[settings]\nmaxmemory-samples = 10\nactivedefrag = false\nsave = "\\"\\""\n')

    read = read_experiment(path)
    again = tmp_path / "again.toml"
    again.write_text(experiment_toml(read))

    assert read.settings == {"maxmemory-samples": "10", "activedefrag": "no", "save": '""'}
    assert read_experiment(again).settings == read.settings
    assert "settings" in tomllib.loads(again.read_text())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("settings = 3", "settings is not a table"),
        ("[settings]\nhz = [1]", "hz in .settings. is neither"),
        ("[settings]\nmaxmemory = '5mb'", "has its place in .server."),
        ("[settings]\nlogfile = 'x'", "of the place"),
        ("[settings]\nHZ = 1", "no line of a redis.conf"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, text, says):
    """The message names the file."""
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(ExperimentError, match=says):
        read_experiment(path)
