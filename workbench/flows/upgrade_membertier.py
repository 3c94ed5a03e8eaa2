"""upgrade_membertier: log in, ask for the next tier, and confirm."""

from workbench.flows.login import GREETING
from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["UPGRADE_MEMBERTIER"]

_CONTEXT = "upgrade_membertier"


def _menu(caller: Caller) -> Edit:
    return Edit(_CONTEXT, "ConfirmUpgrade", {"incoming_message": caller.incoming("5")})


def _confirm(caller: Caller) -> Edit:
    # ConfirmUpgrade > Greeting > UpgradeMembertierApiCall > AccountDashboard
    return Edit(
        "account",
        "AccountDashboard",
        {"incoming_message": caller.incoming("confirm"), "confirmed": True},
        parts={
            "action": caller.action("MEMBERTIER_UPGRADED"),
            "dashboard": caller.dashboard(),
        },
    )


UPGRADE_MEMBERTIER = flow(
    _CONTEXT,
    GREETING,
    Step("menu", _menu),
    Step("confirm", _confirm, api=(_CONTEXT, "UpgradeMembertierApiCall")),
)
