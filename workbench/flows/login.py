"""login: one greeting, answered with the dashboard."""

from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["GREETING", "LOGIN", "LOGIN_CALL", "logged_in"]


def logged_in(caller: Caller, *, pending_in: int = 0, pending_out: int = 0) -> Edit:
    """
    What a greeting of a member leaves behind.

    Greeting > LoginApiCall > AccountDashboard: whatever was there before is forgotten.

    Args:
        caller: who greets.
        pending_in: offers that wait for the caller, over all accounts.
        pending_out: offers of the caller that wait for others, likewise.
    """
    return Edit(
        context="account",
        component="AccountDashboard",
        data={"incoming_message": caller.incoming("hi")},
        parts={
            "auth": {"token": caller.token()},
            "dashboard": caller.dashboard(pending_in=pending_in, pending_out=pending_out),
            "action": caller.action("MEMBER_LOGIN"),
            "active_account_id": caller.account_ids[0],
        },
        reset=True,
    )


LOGIN_CALL = ("login", "LoginApiCall")
"""Where a conversation stands while the service asks who greets."""

GREETING = Step("greeting", logged_in, api=LOGIN_CALL)
"""The message that opens every conversation."""

LOGIN = flow("login", GREETING)
