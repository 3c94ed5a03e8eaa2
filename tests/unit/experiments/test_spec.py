"""An experiment file is right, or the message says what in it is not."""

import datetime
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.checkout import experiments_dir
from workbench.errors import ExperimentError
from workbench.experiments import spec
from workbench.experiments.spec import Experiment, PlannedFault, read_experiment
from workbench.flows.mix import read_mix
from workbench.flows.model import FLOWS


@pytest.fixture
def read(tmp_path):
    """Read a text as an experiment file."""

    def read_text(text: str) -> Experiment:
        path = tmp_path / "trial.toml"
        path.write_text(text)
        return read_experiment(path)

    return read_text


def test_empty_file_is_an_experiment_named_after_itself(read):
    """Every key has a default."""
    assert read("") == Experiment(name="trial")


@pytest.mark.parametrize("path", sorted(experiments_dir().glob("*.toml")), ids=lambda p: p.stem)
def test_every_experiment_of_ours_reads_by_its_name(path):
    """What lies in the folder can be run, and its record bears its name."""
    assert read_experiment(path.stem).name == path.stem


def test_demo_is_what_its_file_says():
    """Units are parsed; the rest is taken as it is."""
    demo = read_experiment("demo")

    assert (demo.turns_per_s, demo.users, demo.measure_s) == (600, 50, 30.0)
    assert (demo.think_median_s, demo.think_p95_s, demo.sample_interval_s) == (8.0, 45.0, 0.2)
    assert demo.mix == {"login": 35, "offer_secured": 25}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenari = 'steady'", "unknown key 'scenari'; did you mean 'scenario'"),
        ("[server]\nmaxmemroy = '5mb'", r"unknown key 'maxmemroy' in \[server\]; .*'maxmemory'"),
        ("[load]\nturn_per_s = 5", r"unknown key 'turn_per_s' in \[load\]; .*'turns_per_s'"),
        ("[sever]\nprofile = 'demo'", "unknown key 'sever'; did you mean 'server'"),
        ("[mix]\nlogin = 1\noffer_secure = 1", r"no flow 'offer_secure' in \[mix\].*'offer_secu"),
        ("scenario = 'stead'", "no scenario 'stead'; did you mean 'steady'"),
        ("scenario = 'arrivals'", "no scenario 'arrivals'"),
        ("[load]\ndriver = 'fats'", "no driver 'fats'; did you mean 'fast'"),
        ("[load]\ndriver = 'turn'", "no driver 'turn'; known: fast, reference"),
        ("[load]\ndriver = 1", "driver is not a text"),
        ("[[faults]]\nfault = 'freez'\nat = '1s'", "no fault 'freez'; did you mean 'freeze'"),
        ("[[faults]]\nfault = 3\nat = '1s'", "no fault 3"),
        ("[[faults]]\nfalt = 'freeze'", r"unknown key 'falt' in \[\[faults\]\]; .*'fault'"),
        ("[server]\nprofile = 'productoin'", "no server profile 'productoin'; .*'production'"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(read, text, says):
    """A slip is named with the file and the table, and with what was probably meant."""
    with pytest.raises(ExperimentError, match=says) as caught:
        read(text)

    assert "trial.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[load]\nturns_per_s = 0", "turns_per_s is 0, outside 1 to 100000"),
        ("[load]\nturns_per_s = nan", "turns_per_s is nan"),
        ("[load]\nturns_per_s = '600'", "turns_per_s is not a number"),
        ("[load]\nclosed_loop = 1", "closed_loop is neither true nor false"),
        ("[load]\nusers = 0", "users is 0, outside 1 to 10000"),
        ("[load]\nusers = 2.5", "users is not a whole number"),
        ("[load]\nusers = true", "users is not a whole number"),
        ("[load]\nmeasure = '0s'", "measure is 0, outside"),
        ("[load]\nmeasure = 'soon'", "'soon' is not a duration"),
        ("[load]\nsample_interval = '1ms'", "sample_interval is 0.001, outside"),
        ("[load]\nthink_median = '45s'", "p95 is not above its median"),
        ("[server]\nmaxmemory = '1mb'", "maxmemory is under 2mb"),
        ("[server]\nmaxmemory = 'much'", "'much' is not a size"),
        ("[server]\nprofile = ['demo']", "server_profile is not a text"),
        ("seed = -1", "seed is -1, below 0"),
        ("seed = true", "seed is not a whole number"),
        ("seed = 1.5", "seed is not a whole number"),
        ("[mix]", r"\[mix\] is empty"),
        ("mix = 3", r"\[mix\] is empty"),
        ("[mix]\nlogin = 0", "weight of login in .* is 0; it must be above 0"),
        ("[mix]\nlogin = nan", "weight of login in .* is nan; it must be above 0"),
        ("[mix]\nlogin = inf", "weight of login in .* is inf; it must be above 0"),
        ("[mix]\nlogin = 'much'", "weight of login in .* is not a number"),
        ("load = 3", r"load is not a table; write \[load\]"),
        ("name = ''", "name '' is not made of"),
        ("name = '../../elsewhere'", "is not made of 1 to 60 letters"),
        ("question = 3", "question is not a text"),
        ("a = [", "is not TOML"),
        ("[load]\npool = 4\ndriver = 'fast'", "pool is for the driver reference"),
        ("[load]\nclosed_loop = true\nprefill_share = 0.5", "prefill_share is for an open loop"),
        ("[[faults]]\nfault = 'rewrite'\nat = '30s'", "begins at 30 s, when the measured phase"),
        ("faults = 3", r"write \[\[faults\]\]"),
        ("[faults]\nfault = 'freeze'", r"write \[\[faults\]\]"),
        ("[[faults]]\nfault = 'freeze'", r"a table of \[\[faults\]\] has no at"),
        ("[[faults]]\nfault = 'freeze'\nat = 'then'", r"at in \[\[faults\]\]: 'then' is not a dur"),
        ("[[faults]]\nfault = 'freeze'\nat = '1s'\nlasts = '90s'", "lasts 90 s, more than 60"),
        ("[[faults]]\nfault = 'kill'\nat = '29s'\nlasts = '2s'", "ends at 31 s, and the measured"),
        (
            "[[faults]]\nfault = 'kill'\nat = '1s'\nlasts = '3s'\n"
            "[[faults]]\nfault = 'freeze'\nat = '2s'",
            "fault freeze at 2 s begins before the one before it is over",
        ),
        ("[server]\ntasks = 7", "tasks is 7, outside 1 to 6"),
        ("[load]\ncompression = 0.5", "compression is 0.5, outside 1 to 1000"),
        ("[load]\nprefill_share = 1", "prefill_share is 1, outside 0 to 0.99"),
        ("[load]\npool = 1.5", "pool is not a whole number"),
        ("[habits]\nredelivery = 'soon'", "redelivery: 'soon' is not a duration"),
    ],
)
def test_value_that_makes_no_sense_is_refused(read, text, says):
    """Nothing starts on a value that would only fail later, or lead elsewhere."""
    with pytest.raises(ExperimentError, match=says) as caught:
        read(text)

    assert "trial.toml" in str(caught.value)


def test_mix_may_be_named(read):
    """Its weights, pauses and habits; what the experiment says itself counts more."""
    mix = read_mix("suggested")

    named = read('mix = "suggested"')
    own = read('mix = "suggested"\n[load]\nthink_median = "2s"\n[habits]\naway_share = 0')

    assert named.mix == mix.weights
    assert (named.think_median_s, named.invalid_share, named.away_share) == (8.0, 0.10, 0.03)
    assert (own.think_median_s, own.invalid_share, own.away_share) == (2.0, 0.10, 0)


@pytest.mark.parametrize("name", ["sugested", "", "/", "a\\u0000b"])
def test_mix_that_is_not_there_is_refused(read, name):
    """By its name, with the nearest."""
    with pytest.raises(ExperimentError):
        read(f'mix = "{name}"')


def test_experiment_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    """A name with the nearest name; a path, which is nobody's name, with itself."""
    with pytest.raises(ExperimentError, match=r"no experiment 'dem'; did you mean 'demo'"):
        read_experiment("dem")

    with pytest.raises(ExperimentError, match=r"no file .*dem\.toml"):
        read_experiment(tmp_path / "dem.toml")


def test_file_that_is_no_text_is_refused(tmp_path):
    """A picture under the wrong name."""
    path = tmp_path / "picture.toml"
    path.write_bytes(b"\x89PNG\xff")

    with pytest.raises(ExperimentError, match="cannot be read"):
        read_experiment(path)


def test_overrides_replace_only_what_was_given():
    """An option that was not given leaves the file's value."""
    changed = Experiment(name="trial", seed=3).with_overrides(measure_s=5.0, seed=None)

    assert (changed.measure_s, changed.seed) == (5.0, 3)


def test_overrides_are_checked_too():
    """The message says that it was the command line."""
    with pytest.raises(ExperimentError, match="the command line: --rate is -5"):
        Experiment(name="trial").with_overrides(turns_per_s=-5)


def test_cap_replaces_the_profiles_own():
    """And the least size of an AOF rewrite keeps its share of it."""
    whole = Experiment(name="trial", server_profile="development").profile()
    capped = Experiment(name="trial", maxmemory_bytes=whole.maxmemory_bytes // 4).profile()

    assert capped.maxmemory_bytes * 4 == whole.maxmemory_bytes
    assert capped.auto_aof_rewrite_min_size_bytes * 4 == whole.auto_aof_rewrite_min_size_bytes


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5mb", "2s", "steady", "demo", "9" * 400])
    | st.just(datetime.date(2026, 11, 23)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
).filter(lambda value: value is not None)

TABLES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("name", "question", "scenario", "seed"), VALUES),
        **{
            table: VALUES
            | st.fixed_dictionaries(
                {},
                optional=dict.fromkeys(
                    sorted(key.name for key in spec.KEYS if key.table == table), VALUES
                ),
            )
            for table in ("server", "load")
        },
        "mix": VALUES | st.dictionaries(st.sampled_from(sorted(FLOWS)), VALUES),
    },
)


@settings(max_examples=200, deadline=None)
@given(content=TABLES)
def test_any_value_gives_an_experiment_or_an_experiment_error(content):
    """Whatever a file holds under a known key, no other exception comes out."""
    try:
        found = spec._from_toml(content, experiments_dir() / "trial.toml")
    except ExperimentError:
        return

    assert isinstance(found, Experiment)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet="abc=[]{}'\"\n.# 123\x00é-", max_size=40))
def test_any_text_gives_an_experiment_or_an_experiment_error(read, text):
    """Also text that is hardly TOML."""
    try:
        found = read(text)
    except ExperimentError:
        return

    assert found.name == tomllib.loads(text).get("name", "trial")


def test_text_nested_too_deeply_is_refused(read):
    """The parser's own limit is no crash of ours."""
    with pytest.raises(ExperimentError, match="nested too deeply"):
        read("a = " + "[" * 5000)


def test_faults_are_read_in_the_order_of_their_times(read):
    """However they stand in the file."""
    experiment = read(
        "[[faults]]\nfault = 'rewrite'\nat = '9s'\n"
        "[[faults]]\nfault = 'freeze'\nat = '1.5s'\nlasts = '500ms'\n"
    )

    assert experiment.faults == (
        PlannedFault("freeze", 1.5, 0.5),
        PlannedFault("rewrite", 9.0, 0.0),
    )


def test_experiment_of_the_how_to_reads(read):
    """What the page shows is copied."""
    page = (experiments_dir().parents[1] / "docs/how-to/make-an-experiment.md").read_text()
    shown = page.partition("```toml\n")[2].partition("```")[0]

    experiment = read(shown)

    assert [each.fault for each in experiment.faults] == ["restart"]
    assert experiment.habits.duplicate_within_s == 0.05
