"""login: one greeting, answered with the dashboard."""

from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["GREETING", "LOGIN"]


def _greet(caller: Caller) -> Edit:
    # Greeting > LoginApiCall > AccountDashboard: whatever was there before is forgotten.
    return Edit(
        context="account",
        component="AccountDashboard",
        data={"incoming_message": caller.incoming("hi")},
        parts={
            "auth": {"token": caller.token()},
            "dashboard": caller.dashboard(),
            "action": caller.action("MEMBER_LOGIN"),
            "active_account_id": caller.account_ids[0],
        },
        reset=True,
    )


GREETING = Step("greeting", _greet)
"""The message that opens every conversation."""

LOGIN = flow("login", GREETING)
