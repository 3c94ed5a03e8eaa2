"""accept_offer: log in, list the offers that wait, and accept one."""

from workbench.flows.pending import pending_flow

__all__ = ["ACCEPT_OFFER"]

ACCEPT_OFFER = pending_flow("accept_offer", "CREDEX_ACCEPTED")
