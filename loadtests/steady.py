"""steady: the same rate of turns from beginning to end."""

from loadtests.conversation import ConversationUser
from workbench.flows.mix import read_mix

__all__ = ["SteadyUser"]


class SteadyUser(ConversationUser):
    """Everything that people do in the chat, as often as is assumed."""

    mix = read_mix("suggested")
