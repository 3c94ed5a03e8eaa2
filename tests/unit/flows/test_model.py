"""The workload model: reproducible, of the right size, and nothing but valid edits."""

from datetime import UTC, datetime
from random import Random

import pytest

from workbench.flows.login import LOGIN
from workbench.flows.model import FLOWS, Caller, Flow, Habits
from workbench.flows.offer_secured import OFFER_SECURED
from workbench.state import document as documents

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CALLERS = range(60)


def lengths(flow: Flow, caller: Caller) -> list[int]:
    """Bytes of the document after each turn, put together as the state manager does."""
    document = documents.new_document("whatsapp", caller.identifier, NOW)
    found = []
    for step in flow.steps:
        edit = step.edit(caller)
        if edit.reset:
            kept = ("schema", "channel", "_metadata", "_validation")
            document = {name: document[name] for name in kept}
        flow_data = {
            "context": edit.context,
            "component": edit.component,
            "data": edit.data,
            "validation": {
                "in_progress": True,
                "attempts": 1,
                "last_attempt": documents.timestamp(NOW),
                "error": None,
            },
        }
        updates = documents.plain({**edit.parts, "flow_data": flow_data})
        document = documents.merged(document, updates, now=NOW)
        found.append(len(documents.encode(document)))
    return found


@pytest.mark.parametrize("name", list(FLOWS))
def test_same_seed_and_number_make_the_same_person_and_messages(name):
    """A run can be repeated: all that a caller says follows from seed and number."""
    first, again = Caller(7, 3), Caller(7, 3)

    assert [step.edit(first) for step in FLOWS[name].steps] == [
        step.edit(again) for step in FLOWS[name].steps
    ]


@pytest.mark.parametrize("other", [Caller(8, 3), Caller(7, 4)])
def test_another_seed_or_number_makes_another_person(other):
    """Neither the seed nor the number is left out of the draw."""
    greeting = LOGIN.steps[0]

    assert greeting.edit(Caller(7, 3)).parts != greeting.edit(other).parts


@pytest.mark.parametrize("name", list(FLOWS))
def test_every_flow_begins_with_a_greeting_that_resets(name):
    """Whoever lost the conversation says hi, and nothing of before may linger."""
    first, *others = FLOWS[name].steps

    assert first.edit(Caller(1, 1)).reset
    assert not any(step.edit(Caller(1, 1)).reset for step in others)


@pytest.mark.parametrize("name", list(FLOWS))
def test_every_message_of_every_flow_leaves_a_valid_document(name):
    """What a flow writes passes the state document's own checks, for any person."""
    for number in CALLERS:
        after_each = lengths(FLOWS[name], Caller(7, number))

        assert len(after_each) == len(FLOWS[name].steps)


@pytest.mark.parametrize("name", list(FLOWS))
def test_names_of_steps_are_unique_within_a_flow(name):
    """Tables by step would add up two different messages otherwise."""
    steps = [step.name for step in FLOWS[name].steps]

    assert len(set(steps)) == len(steps)


def test_state_after_a_login_has_the_documented_size():
    """An account is 666 bytes in the chat service; the state after a login 2.2 to 2.6 KB."""
    two_accounts = [
        lengths(LOGIN, caller)[-1]
        for caller in (Caller(7, number) for number in CALLERS)
        if len(caller.account_ids) == 2
    ]

    assert min(two_accounts) >= 2200
    assert max(two_accounts) <= 2600


def test_offer_grows_from_turn_to_turn_within_the_documented_band():
    """Amount and handle are gathered: no turn makes the state shorter, none takes it over 4 KB."""
    for number in CALLERS:
        _, menu, amount, handle, confirmed = lengths(OFFER_SECURED, Caller(7, number))

        assert menu < amount < handle
        assert confirmed <= 4096


def test_token_and_message_have_the_documented_lengths():
    """A token has 195 to 267 characters, an incoming message 120 to 350 bytes of JSON."""
    for number in CALLERS:
        caller = Caller(7, number)

        assert 195 <= len(caller.token()) <= 267
        assert 120 <= len(documents.msgspec.json.encode(caller.incoming("confirm"))) <= 350


@pytest.mark.parametrize(
    ("name", "step", "low", "high"),
    [
        ("onboard", "greeting", 500, 650),
        ("onboard", "last name", 1800, 2600),
        ("view_ledger", "page", 3300, 4100),
        ("accept_offer", "menu", 2000, 4600),
        ("cancel_offer", "confirm", 2000, 4600),
        ("upgrade_membertier", "confirm", 1800, 2600),
        ("switch_account", "greeting", 9000, 10_200),
    ],
)
def test_state_has_the_documented_size(name, step, low, high):
    """Of the chat service's own: 0.62 KB for a stranger to 9.7 KB with five accounts."""
    steps = [each.name for each in FLOWS[name].steps]
    found = [lengths(FLOWS[name], Caller(7, number))[steps.index(step)] for number in CALLERS]

    assert low <= min(found)
    assert max(found) <= high


def test_list_of_ten_offers_has_the_documented_size():
    """The longest that is shown, 4.5 KB."""
    found = [max(lengths(FLOWS["accept_offer"], Caller(7, number))) for number in range(300)]

    assert 4200 <= max(found) <= 4700


def test_conversation_without_habits_goes_straight():
    """One message a step."""
    for name in FLOWS:
        assert FLOWS[name].script(Random(1), Habits()) == FLOWS[name].steps


def test_answers_that_are_not_accepted_come_first_and_three_at_most():
    """The conversation stays at the step that asks; one in ten answers is of this kind."""
    habits, random = Habits(invalid_share=0.1), Random(1)
    scripts = [FLOWS["offer_secured"].script(random, habits) for _ in range(3000)]
    names = [[step.name for step in script] for script in scripts]
    wrong = sum(each == "amount (invalid)" for script in names for each in script)
    right = sum(each == "amount" for script in names for each in script)
    (edit,) = {
        step.edit(Caller(7, 1)).component
        for script in scripts
        for step in script
        if step.name == "amount (invalid)"
    }

    assert right == 3000
    assert 0.08 < wrong / (wrong + right) < 0.12
    assert max(script.count("amount (invalid)") for script in names) <= 3
    assert all(
        set(script[script.index("menu") + 1 : script.index("amount")]) <= {"amount (invalid)"}
        for script in names
    )
    assert edit == "AmountInput"


def test_pages_are_turned_half_of_the_time_and_not_for_ever():
    """As many as the list has."""
    random = Random(1)
    habits = Habits(next_page_share=0.5)
    pages = [
        sum(step.name == "page" for step in FLOWS["view_ledger"].script(random, habits))
        for _ in range(3000)
    ]

    assert (min(pages), max(pages)) == (1, 6)
    assert 0.47 < sum(each > 1 for each in pages) / len(pages) < 0.53


def test_message_that_is_not_accepted_leaves_a_valid_document():
    """Wherever something is asked."""
    random, habits = Random(1), Habits(invalid_share=0.9)
    for name in FLOWS:
        script = FLOWS[name].script(random, habits)

        assert lengths(Flow(name, script), Caller(7, 1))


@pytest.mark.parametrize("name", list(FLOWS))
def test_call_to_the_api_is_a_turn_of_its_own_before_its_answer(name):
    """The conversation stands at the call meanwhile; the first of all forgets what was before."""
    flow = FLOWS[name]
    script = flow.script(Random(1), Habits(api_gap_s=0.5))
    calls = [index for index, step in enumerate(script) if step.name.endswith(" (api call)")]
    made = [script[index].edit(Caller(7, 1)) for index in calls]

    assert [step for step in script if step.answers] == [script[index + 1] for index in calls]
    assert [script[index + 1].name for index in calls] == [
        step.name for step in flow.steps if step.api
    ]
    assert [(edit.context, edit.component) for edit in made] == [
        step.api for step in flow.steps if step.api
    ]
    assert [edit.reset for edit in made] == [True] + [False] * (len(made) - 1)
    assert lengths(Flow(name, script), Caller(7, 1))


def test_api_that_is_called_in_every_flow_is_left_out_without_the_habit():
    """No gap, no call."""
    assert all(any(step.api for step in FLOWS[name].steps) for name in FLOWS)
    assert not any(step.answers for step in FLOWS["login"].script(Random(1), Habits()))
