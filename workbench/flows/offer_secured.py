"""offer_secured: log in, then offer a secured credex: menu, amount, handle, confirmation."""

from workbench.flows.login import GREETING
from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["OFFER_SECURED"]

_CONTEXT = "offer_secured"


def _menu(caller: Caller) -> Edit:
    return Edit(_CONTEXT, "AmountInput", {"incoming_message": caller.incoming("1")})


def _amount(caller: Caller) -> Edit:
    amount = caller.amount()
    return Edit(
        _CONTEXT,
        "HandleInput",
        {"incoming_message": caller.incoming(amount), "amount": amount, "denom": "USD"},
    )


def _handle(caller: Caller) -> Edit:
    # HandleInput > ValidateAccountApiCall > ConfirmOfferSecured
    handle = caller.other_handle()
    return Edit(
        _CONTEXT,
        "ConfirmOfferSecured",
        {"incoming_message": caller.incoming(handle), "handle": handle},
        parts={"action": caller.action("ACCOUNT_VALIDATED", accountHandle=handle)},
    )


def _confirm(caller: Caller) -> Edit:
    # ConfirmOfferSecured > CreateCredexApiCall > AccountDashboard
    return Edit(
        "account",
        "AccountDashboard",
        {"incoming_message": caller.incoming("confirm"), "confirmed": True},
        parts={
            "action": caller.action("CREDEX_CREATED", credexID=caller.fresh_id()),
            "dashboard": caller.dashboard(),
        },
    )


OFFER_SECURED = flow(
    _CONTEXT,
    GREETING,
    Step("menu", _menu),
    Step("amount", _amount, asked=(_CONTEXT, "AmountInput")),
    Step(
        "handle",
        _handle,
        asked=(_CONTEXT, "HandleInput"),
        api=(_CONTEXT, "ValidateAccountApiCall"),
    ),
    Step("confirm", _confirm, api=(_CONTEXT, "CreateCredexApiCall")),
)
