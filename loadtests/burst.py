"""burst: a campaign goes out, and for a while three times as many people write."""

from loadtests.conversation import ConversationUser
from workbench.flows.mix import read_mix

__all__ = ["BurstUser"]


class BurstUser(ConversationUser):
    """Everybody else as usual, and in the middle fifth three times as many who greet."""

    mix = read_mix("suggested")
    shape = ((0.0, 1.0), (0.4, 1.0), (0.4, 3.0), (0.6, 3.0), (0.6, 1.0), (1.0, 1.0))
