"""view_ledger: log in, and turn the pages of an account's history."""

from workbench.flows.login import GREETING
from workbench.flows.model import Caller, Edit, Step, flow

__all__ = ["VIEW_LEDGER"]

_CONTEXT = "view_ledger"
_ROWS = 7
"""Of one page."""


def _page(caller: Caller) -> Edit:
    # ViewLedger > Greeting > GetLedgerApiCall > ViewLedger
    return Edit(
        _CONTEXT,
        "ViewLedger",
        {
            "incoming_message": caller.incoming("next"),
            "account_id": caller.account_ids[0],
            "start_row": 0,
            "num_rows": _ROWS,
            "rows": [caller.ledger_row() for _ in range(_ROWS)],
        },
    )


def _back(caller: Caller) -> Edit:
    return Edit("account", "AccountDashboard", {"incoming_message": caller.incoming("dashboard")})


VIEW_LEDGER = flow(
    _CONTEXT,
    GREETING,
    Step("page", _page, pages=6, api=(_CONTEXT, "GetLedgerApiCall")),
    Step("back", _back),
)
