"""ramp: more and more people, from a tenth of the rate to twice the rate."""

from loadtests.conversation import ConversationUser
from workbench.flows.mix import read_mix

__all__ = ["RampUser"]


class RampUser(ConversationUser):
    """Until something gives: where the latency bends is the knee."""

    mix = read_mix("suggested")
    shape = ((0.0, 0.1), (1.0, 2.0))
