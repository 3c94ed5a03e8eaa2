"""switch_account: a member with five accounts logs in, and goes to another of them."""

from workbench.flows.login import LOGIN_CALL, logged_in
from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["SWITCH_ACCOUNT"]

_CONTEXT = "account"
_ACCOUNTS = 5
_OFFERS = 15


def _greet(caller: Caller) -> Edit:
    # Greeting > LoginApiCall > MultiAccountDashboard
    caller.hold(_ACCOUNTS)
    member = logged_in(caller, pending_in=_OFFERS, pending_out=_OFFERS)
    return Edit(_CONTEXT, "MultiAccountDashboard", member.data, parts=member.parts, reset=True)


def _pick(caller: Caller) -> Edit:
    caller.hold(_ACCOUNTS)
    chosen = caller.account_ids[caller.count(1, _ACCOUNTS - 1)]
    return Edit(
        _CONTEXT,
        "AccountDashboard",
        {"incoming_message": caller.incoming("4")},
        parts={"active_account_id": chosen},
    )


SWITCH_ACCOUNT = flow(
    "switch_account",
    Step("greeting", _greet, api=LOGIN_CALL),
    Step("account", _pick, asked=(_CONTEXT, "MultiAccountDashboard")),
)
