"""decline_offer: log in, list the offers that wait, pick one, and confirm that it is declined."""

from workbench.flows.pending import pending_flow

__all__ = ["DECLINE_OFFER"]

DECLINE_OFFER = pending_flow("decline_offer", "CREDEX_DECLINED", confirmed=True)
