"""Shown is the structure; what people wrote is not, unless it was asked for."""

import json

import pytest

from workbench.inspection.masked import differences, masked, masked_key

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
    assert found["auth"][1] is None
    assert found["action"][0] is None
    assert ("Rudo" in str(found)) == show_values
    assert "eyJ" not in str(found)
