"""Offers that wait: what accepting, declining and cancelling one have in common."""

from collections.abc import Callable

from workbench.flows.login import LOGIN_CALL, logged_in
from workbench.flows.model import Caller, Edit, Flow, Step, flow

__all__ = ["pending_flow"]

_OFFERS_MAX = 10
"""Rows of the list that the chat service shows."""


def pending_flow(context: str, kind: str, *, own: bool = False, confirmed: bool = False) -> Flow:
    """
    Define a flow that deals with an offer from a list: greeting, menu, pick, and perhaps confirm.

    Args:
        context: of the flow, and its name.
        kind: what the API says that it did.
        own: the offers are the caller's own, which wait for others.
        confirmed: the pick is asked about once more.
    """

    def greet(caller: Caller) -> Edit:
        count = caller.count(1, _OFFERS_MAX)
        return logged_in(caller, **{"pending_out" if own else "pending_in": count})

    def menu(caller: Caller) -> Edit:
        return Edit(context, "OfferListDisplay", {"incoming_message": caller.incoming("2")})

    def pick(caller: Caller) -> Edit:
        message = {"incoming_message": caller.incoming("3"), "credex_id": caller.fresh_id()}
        return Edit(context, "ConfirmAction", message)

    def done(text: str) -> Callable[[Caller], Edit]:
        def edit(caller: Caller) -> Edit:
            # ... > Greeting > ProcessOfferApiCall > AccountDashboard, with what still waits
            left = caller.count(0, _OFFERS_MAX - 1)
            return Edit(
                "account",
                "AccountDashboard",
                {"incoming_message": caller.incoming(text)},
                parts={
                    "action": caller.action(kind, credexID=caller.fresh_id()),
                    "dashboard": caller.dashboard(**{"pending_out" if own else "pending_in": left}),
                },
            )

        return edit

    listed, call = (context, "OfferListDisplay"), (context, "ProcessOfferApiCall")
    picked = (
        [Step("pick", pick, asked=listed), Step("confirm", done("confirm"), api=call)]
        if confirmed
        else [Step("pick", done("3"), asked=listed, api=call)]
    )
    return flow(context, Step("greeting", greet, api=LOGIN_CALL), Step("menu", menu), *picked)
