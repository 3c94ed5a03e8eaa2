"""onboard: greet as a stranger, give a first and a last name, and become a member."""

from workbench.flows.login import LOGIN_CALL, logged_in
from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["ONBOARD"]

_CONTEXT = "onboard"


def _greet(caller: Caller) -> Edit:
    # Greeting > LoginApiCall (no member) > Welcome > FirstNameInput
    return Edit(_CONTEXT, "FirstNameInput", {"incoming_message": caller.incoming("hi")}, reset=True)


def _first_name(caller: Caller) -> Edit:
    first, _ = caller.name
    return Edit(
        _CONTEXT,
        "LastNameInput",
        {"incoming_message": caller.incoming(first), "firstname": first},
    )


def _last_name(caller: Caller) -> Edit:
    # LastNameInput > Greeting > OnBoardMemberApiCall > AccountDashboard
    _, last = caller.name
    member = logged_in(caller)
    return Edit(
        member.context,
        member.component,
        {"incoming_message": caller.incoming(last), "lastname": last},
        parts={**member.parts, "action": caller.action("MEMBER_ONBOARDED")},
    )


ONBOARD = flow(
    _CONTEXT,
    Step("greeting", _greet, api=LOGIN_CALL),
    Step("first name", _first_name, asked=(_CONTEXT, "FirstNameInput")),
    Step(
        "last name",
        _last_name,
        asked=(_CONTEXT, "LastNameInput"),
        api=(_CONTEXT, "OnBoardMemberApiCall"),
    ),
)
