"""Tokens of members who have logged in: JSON Web Tokens, checked by PyJWT."""

from collections.abc import Callable, Sequence

import jwt

__all__ = ["jwt_verifier"]


def jwt_verifier(key: str, *, algorithms: Sequence[str] = ("HS256",)) -> Callable[[str], bool]:
    """
    For ``StateManager(verify_token=...)``: signed with this key, and not expired.

    Args:
        key: secret, or public key.
        algorithms: that are accepted; what the token itself names is not trusted.
    """
    accepted = list(algorithms)

    def verify(token: str) -> bool:
        try:
            jwt.decode(token, key, algorithms=accepted)
        except jwt.InvalidTokenError:
            return False
        return True

    return verify
