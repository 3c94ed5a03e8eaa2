"""Shown is the structure; what people wrote is not, unless it was asked for."""

import json

import pytest

from workbench.inspection.masked import NOTHING, differences, masked, masked_key

DOCUMENT = {
    "schema": 1,
    "channel": {"type": "whatsapp", "identifier": "263771234567"},
    "auth": {"token": "eyJhbGciOi.eyJzdWIi.abc"},
    "dashboard": {"name": "Tatenda", "balance": 812.5, "open": True, "accounts": ["Savings"]},
    "flow_data": {"context": "offer", "component": "amount", "data": {"handle": "chipo"}},
    "_validation": {"attempts": {"update": 3}, "error": None},
}
PRIVATE = ["263771234567", "eyJ", "Tatenda", "812.5", "Savings", "chipo"]


def test_values_are_hidden_and_structure_is_shown():
    """Flow, step, times and counts stay; names, numbers and texts do not."""
    text = json.dumps(masked(DOCUMENT))

    assert not [each for each in PRIVATE if each in text]
    assert all(each in text for each in ("offer", "amount", '"update": 3', "handle", "whatsapp"))


def test_values_are_shown_to_who_asked_and_secrets_are_not():
    """The control: then they are there."""
    text = json.dumps(masked(DOCUMENT, show_values=True))

    assert all(each in text for each in ("Tatenda", "812.5", "chipo", "263771234567"))
    assert "eyJ" not in text


def test_key_is_hidden_and_told_apart():
    """The same caller has the same mark."""
    assert "263" not in masked_key("channel:263771234567")
    assert masked_key("channel:1") == masked_key("channel:1") != masked_key("channel:2")


@pytest.mark.parametrize("show_values", [False, True])
def test_differences_are_told_by_path(show_values):
    """What is new, gone or changed; hidden alike."""
    after = {
        **DOCUMENT,
        "dashboard": {**DOCUMENT["dashboard"], "name": "Rudo"},
        "action": {"id": 1},
    }
    del after["auth"]

    found = {path: (a, b) for path, a, b in differences(DOCUMENT, after, show_values=show_values)}

    assert set(found) == {"auth", "dashboard.name", "action"}
    assert found["auth"][1] == NOTHING
    assert found["action"][0] == NOTHING
    assert ("Rudo" in str(found)) == show_values
    assert "eyJ" not in str(found)


def test_number_that_is_a_name_is_hidden_too():
    """Parts are named by people's numbers where somebody keeps a list of contacts."""
    before = {"dashboard": {"263771112222": {"n": 1}, "263771113333": {}}}
    after = {"dashboard": {"263771112222": {"n": 2}, "263771113333": {}}}

    hidden, told = masked(before), differences(before, after)

    assert len(hidden["dashboard"]) == 2
    assert "26377" not in str(hidden) + str(told)
    assert differences(before, after, show_values=True) == [("dashboard.263771112222.n", 1, 2)]


def test_difference_in_a_time_below_attempts_is_shown():
    """It is shown where the whole document is."""
    before = {"_validation": {"last_attempt": {"message": "2025-01-01T00:00:00Z"}}}
    after = {"_validation": {"last_attempt": {"message": "2025-01-01T00:00:01Z"}}}

    ((_, first, second),) = differences(before, after)

    assert (first, second) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:01Z")


NAMED_LIKE_OURS = {
    "context": "Tatenda Moyo",
    "component": "Chipo",
    "type": "Harare",
    "attempts": {"pin": 4321, "said": "Rudo"},
    "last_attempt": "2025-01-01T00:00:00Z",
    "in_progress": True,
    "schema": 815,
    "validation": {"attempts": 99, "last_attempt": "Farai"},
}
HIDDEN = ["Tatenda", "Chipo", "Harare", "4321", "Rudo", "2025", "815", "99", "Farai", "true"]


@pytest.mark.parametrize(
    "document",
    [
        {"flow_data": {"data": NAMED_LIKE_OURS}},
        {"dashboard": NAMED_LIKE_OURS},
        {"dashboard": [NAMED_LIKE_OURS]},
        {"flow_data": {"context": {"name": "Tatenda"}, "component": ["Chipo"]}},
        {"_validation": {"attempts": {"update": {"context": "Rudo"}}}},
        {"_metadata": {"type": "Harare", "initialized_at": {"updated_at": "2025-01-01T00:00Z"}}},
    ],
)
def test_name_of_ours_elsewhere_shows_nothing(document):
    """A place decides, not a name: people's own words stand under any name."""
    text = (
        json.dumps(masked(document))
        + str(differences(document, {}))
        + str(differences(document, {name: [] for name in document}))
    )

    assert not [each for each in HIDDEN if each in text]


@pytest.mark.parametrize(
    "document",
    [
        {"channel": {"type": "+263 77 123 4567"}},
        {"flow_data": {"context": "Tatenda Moyo", "component": "12 Main Road, Chipo"}},
        {"flow_data": {"validation": {"attempts": 263771234567, "last_attempt": "Chipo"}}},
        {"_metadata": {"updated_at": "on Chipo's birthday"}},
        {"schema": "Chipo"},
    ],
)
def test_what_has_not_the_form_of_its_place_is_hidden(document):
    """Another service may have put something else there."""
    text = json.dumps(masked(document))

    assert not [each for each in ("263", "77 123", "Tatenda", "Chipo") if each in text]


PERSONS = [
    "+263 77 123 4567",
    "tatenda@mail.zw",
    "077-123-4567",
    "n077-123-4567",
    "Tatenda Moyo",
    "٢٦٣٧٧١",
    "x" * 60,
    "",
]


@pytest.mark.parametrize("name", PERSONS)
def test_member_that_is_named_by_a_person_is_hidden(name):
    """Wherever it stands; told apart from others all the same."""
    document = {
        name: {},
        "dashboard": {name: 1},
        "flow_data": {"data": {name: {name: 2}}},
        "_validation": {"attempts": {name: 3}},
    }

    text = json.dumps(masked(document), ensure_ascii=False)
    told = str(differences(document, {"dashboard": {}, "flow_data": {"data": {name: {}}}}))

    assert f'"{name}"' not in text
    assert not name or name not in told
    assert masked({name: 1}) != masked({f"{name}!": 1})


@pytest.mark.parametrize("name", ["handle", "_metadata", "offer-id", "line2", "camelCase"])
def test_member_that_the_application_named_is_shown(name):
    """The control: structure is what one looks for."""
    assert masked({name: {}}) == {name: {}}


def test_key_that_is_no_text_has_a_mark():
    """And what precedes a colon is hidden too, where it may be a person's."""
    assert masked_key(b"channel:\xff").startswith("channel:[redacted]#")
    assert masked_key(b"channel:\xff") != masked_key(b"channel:\xfe")
    assert masked_key(b"channel:1") == masked_key("channel:1")
    assert "263" not in masked_key("263771234567:session") + masked_key("263771234567")


@pytest.mark.parametrize("name", ["token", "access_token", "apiKey", "PIN", "client_secret"])
def test_secret_stays_hidden_from_who_asks_for_values(name):
    """A name that ends in one is one."""
    assert "hunter2" not in str(masked({"auth": {name: "hunter2"}}, show_values=True))
