"""steady: the same rate of turns from beginning to end."""

from loadtests.conversation import ConversationUser

__all__ = ["SteadyUser"]


class SteadyUser(ConversationUser):
    """Log in; some go on to offer a secured credex."""

    # Of the suggested mix (an assumption: no traffic data exists), the flows that are here.
    mix = {"login": 35, "offer_secured": 25}  # noqa: RUF012
