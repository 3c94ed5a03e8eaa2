"""diurnal: one day in short, from the night over two peaks to the night."""

from loadtests.conversation import ConversationUser
from workbench.flows.mix import read_mix

__all__ = ["DiurnalUser"]


class DiurnalUser(ConversationUser):
    """A quiet night, a peak at noon, a higher one in the evening."""

    mix = read_mix("suggested")
    shape = ((0.0, 0.2), (0.25, 0.3), (0.5, 1.0), (0.6, 0.7), (0.8, 1.3), (1.0, 0.3))
