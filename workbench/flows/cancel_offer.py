"""cancel_offer: log in, list your own offers, pick one, and confirm that it is cancelled."""

from workbench.flows.pending import pending_flow

__all__ = ["CANCEL_OFFER"]

CANCEL_OFFER = pending_flow("cancel_offer", "CREDEX_CANCELLED", own=True, confirmed=True)
