"""Flow, Step, Edit: a conversation as data. Shapes and sizes follow the chat service's own."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from workbench.registry import Registry

__all__ = ["FLOWS", "IDENTIFIER_PREFIX", "Caller", "Edit", "Flow", "Step", "flow"]

FLOWS: "Registry[Flow]" = Registry("flow", "workbench.flows")
"""Every flow by name."""

IDENTIFIER_PREFIX: Final = "wb-"
"""How every caller's identifier begins, so that the load's keys can be told from anybody's."""


@dataclass(frozen=True, slots=True)
class Edit:
    """
    What one message changes in the state.

    Attributes:
        context, component: the step that the conversation is at afterwards.
        data: what is merged into ``flow_data.data``.
        parts: whole parts that are replaced, by name.
        reset: forget everything but the channel first, as every greeting does.
    """

    context: str
    component: str
    data: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """
    One message of the person and what it changes.

    Args:
        name: as it appears in tables: ``amount``.
        edit: from the caller to the change; called once a message.
    """

    name: str
    edit: "Callable[[Caller], Edit]"


@dataclass(frozen=True, slots=True)
class Flow:
    """
    A whole conversation: its messages in order, the greeting that opens it first.

    Args:
        name: as it appears in tables and mixes: ``offer_secured``.
        steps: one per message of the person.
    """

    name: str
    steps: tuple[Step, ...]


def flow(name: str, *steps: Step) -> Flow:
    """Define a flow and register it."""
    return FLOWS.add(name, Flow(name, steps))


class Caller:
    """
    The person at the other end, the same for the same seed and number.

    Sizes of what is made here, in bytes of JSON, follow the chat service: an account 666, a token
    195 to 267, an incoming message 120 to 350; the state after a login 2.2 to 2.6 KB.

    Args:
        seed: of the run.
        number: of the conversation within the run.
    """

    __slots__ = ("_random", "account_ids", "handle", "identifier", "member_id", "name")

    def __init__(self, seed: int, number: int) -> None:
        self._random = Random(f"{seed}/{number}")
        self.identifier = f"{IDENTIFIER_PREFIX}{number:09d}"
        first, last = self._random.choice(_FIRST_NAMES), self._random.choice(_LAST_NAMES)
        self.name = (first, last)
        self.handle = f"{first}_{last}_{number}".lower()
        self.member_id = self.fresh_id()
        # Most members hold one account of their own and one that they share.
        accounts = self._random.choices((1, 2), weights=(2, 8))[0]
        self.account_ids = [self.fresh_id() for _ in range(accounts)]

    def incoming(self, text: str) -> dict[str, Any]:
        """The message as the provider delivers it."""
        return {
            "type": "text",
            "text": {"body": text},
            "id": f"wamid.{self._letters(40)}",
            "from": self.identifier,
            "timestamp": 1767225600 + self._random.randrange(10**7),
        }

    def token(self) -> str:
        """A token of the shape and length that the API hands out. It is signed with nothing."""
        head = _base64({"alg": "HS256", "typ": "JWT"})
        body = _base64({"memberID": self.member_id, "exp": 1767225600, "iat": 1767139200})
        return f"{head}.{body}.{self._letters(43)}"

    def dashboard(self) -> dict[str, Any]:
        """The member and the accounts, as the API returns them after a login."""
        first, last = self.name
        return {
            "member": {
                "memberID": self.member_id,
                "memberTier": self._random.randint(1, 3),
                "firstname": first,
                "lastname": last,
                "memberHandle": self.handle,
                "defaultDenom": "USD",
                "remainingAvailableUSD": self._amount(),
            },
            "accounts": [self._account(index) for index in range(len(self.account_ids))],
        }

    def action(self, kind: str, **details: Any) -> dict[str, Any]:
        """What the API says that it did."""
        return {
            "id": self.fresh_id(),
            "type": kind,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "actor": self.identifier,
            "details": {"message": kind.replace("_", " ").lower(), **details},
        }

    def fresh_id(self) -> str:
        """An id that the API has just made."""
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def amount(self) -> str:
        """A sum as a person types it."""
        return f"{self._amount():.2f}"

    def other_handle(self) -> str:
        """The handle of somebody else, at most 30 characters."""
        return f"{self._random.choice(_FIRST_NAMES)}_{self._letters(8)}".lower()[:30]

    def _account(self, index: int) -> dict[str, Any]:
        first, last = self.name
        balances = {denom: f"{self._amount():.2f} {denom}" for denom in ("USD", "CXX", "ZWG")}
        return {
            "accountID": self.account_ids[index],
            "accountName": f"{first} {last} {'Personal' if index == 0 else 'Shared'} Account",
            "accountHandle": f"{self.handle}_{index}",
            "accountType": "PERSONAL" if index == 0 else "SHARED",
            "defaultDenom": "USD",
            "isOwnedAccount": index == 0,
            "sendOffersTo": {"memberID": self.member_id, "firstname": first, "lastname": last},
            "balanceData": {
                "securedNetBalancesByDenom": list(balances.values()),
                "unsecuredBalancesInDefaultDenom": {
                    "totalPayables": balances["USD"],
                    "totalReceivables": balances["USD"],
                    "netPayRec": balances["USD"],
                },
                "netCredexAssetsInDefaultDenom": balances["USD"],
            },
            "pendingInData": [],
            "pendingOutData": [],
        }

    def _amount(self) -> float:
        return round(self._random.lognormvariate(3.5, 1.0), 2)

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_LETTERS, k=count))


def _base64(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FIRST_NAMES: Final = ("Tendai", "Rudo", "Chipo", "Farai", "Nyasha", "Tapiwa", "Kudzai", "Rumbi")
_LAST_NAMES: Final = ("Moyo", "Ncube", "Dube", "Sibanda", "Mpofu", "Chikafu", "Nyathi", "Gumbo")
