"""A mix: what people do, as a file."""

import pytest

from workbench.errors import ExperimentError
from workbench.flows.mix import read_mix
from workbench.flows.model import FLOWS, Habits


def test_suggested_mix_has_every_flow_and_its_habits():
    """Each figure is an assumption, written down in one place."""
    mix = read_mix("suggested")

    assert set(mix.weights) == set(FLOWS)
    assert (mix.think_median_s, mix.think_p95_s) == (8.0, 45.0)
    assert mix.habits == Habits(
        invalid_share=0.10,
        next_page_share=0.5,
        away_share=0.03,
        duplicate_share=0.02,
        api_gap_s=0.6,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"\[mix\] is empty"),
        ("[mix]\nlogn = 1", "no flow 'logn'.*login"),
        ("[mix]\nlogin = 0", "must be above 0"),
        ("[mix]\nlogin = 'a'", "not a number"),
        ("[mix]\nlogin = 1\n[habits]\ninvalid = 1", "unknown key 'invalid'.*invalid_share"),
        ("[mix]\nlogin = 1\n[habits]\ninvalid_share = 1.0", "below 1"),
        ("[mix]\nlogin = 1\n[habits]\ninvalid_share = nan", "below 1"),
        ("[mix]\nlogin = 1\n[think]\nmedian = 'soon'", "soon"),
        ("[mix]\nlogin = 1\n[habits]\napi_gap = 'soon'", r"\[habits\].*soon"),
        ("[mix]\nlogin = 1\n[habits]\napi_gap_s = 1", "unknown key 'api_gap_s'.*api_gap"),
        ("[mix]\nlogin = 1\n[thinks]\nmedian = 8", "unknown table 'thinks'.*think"),
        ("mix = 3", "not a table"),
        ("[mix", "cannot be read"),
    ],
)
def test_mix_that_makes_no_sense_is_refused(tmp_path, text, says):
    """By its file and key, with the nearest right one."""
    file = tmp_path / "odd.toml"
    file.write_text(text)

    with pytest.raises(ExperimentError, match=says) as caught:
        read_mix(file)

    assert "odd.toml" in str(caught.value)


def test_mix_that_is_not_there_is_told_with_the_nearest():
    """By its name."""
    with pytest.raises(ExperimentError, match=r"'sugested'.*suggested"):
        read_mix("sugested")
