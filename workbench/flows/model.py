"""Flow, Step, Edit: a conversation as data. Shapes and sizes follow the chat service's own."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any, Final

from workbench.registry import Registry

__all__ = ["FLOWS", "IDENTIFIER_PREFIX", "Caller", "Edit", "Flow", "Habits", "Step", "flow"]

FLOWS: "Registry[Flow]" = Registry("flow", "workbench.flows")
"""Every flow by name."""

_INVALID_MAX: Final = 3

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
        asked: context and component that wait for this message, where the person may type what is
            not accepted there; then the conversation stays there. None where nothing can be wrong.
        pages: how often in a row it comes at most, as the pages of a list do.
        api: context and component in which the conversation stands while the chat service waits
            for its API, between the message and what it changes; None if it asks none.
        answers: it is the API's answer, which comes a gap after the turn before, and not a
            message of the person.
    """

    name: str
    edit: "Callable[[Caller], Edit]"
    asked: tuple[str, str] | None = None
    pages: int = 1
    api: tuple[str, str] | None = None
    answers: bool = False


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

    def script(self, random: Random, habits: "Habits") -> tuple[Step, ...]:
        """The turns of one conversation: the steps, and what people do besides."""
        turns: list[Step] = []
        for step in self.steps:
            if step.asked is not None:
                wrong = _streak(random, habits.invalid_share, _INVALID_MAX)
                turns += [_invalid(step)] * wrong
            calls = step.api is not None and habits.api_gap_s > 0
            once = [_calling(step, first=not turns), _answer(step)] if calls else [step]
            turns += once * (1 + _streak(random, habits.next_page_share, step.pages - 1))
        return tuple(turns)

    def step(self, name: str, *, answers: bool = False) -> Step:
        """
        What a turn of that name carried out: a step, or what stands for one in a script.

        Args:
            name: as tables have it.
            answers: it is the API's answer to a call.

        Raises:
            KeyError: there is none.
        """
        for index, step in enumerate(self.steps):
            if step.name == name:
                return _answer(step) if answers else step
            if step.asked is not None and (wrong := _invalid(step)).name == name:
                return wrong
            if step.api is not None and (call := _calling(step, first=index == 0)).name == name:
                return call
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Habits:
    """
    What people do besides the straight way; shares are of 1.

    Args:
        invalid_share: of answers to an input step that are not accepted, three at most.
        next_page_share: of pages of a list after which the next one is asked for.
        away_share: of conversations in which one pause is longer than the state lives.
        duplicate_share: of messages that are delivered twice, the second time to another process:
            a double tap, or a webhook that was not answered fast enough.
        duplicate_within_s: at most so long after the first, s.
        redelivery_s: after so long a message that got no answer, or a refusal, is delivered
            again, three times at most, s; 0 if it is given up.
        api_gap_s: median of how long the chat service waits for its API, s; the state is written
            before the call, and again with the answer. 0 leaves the calls out.
    """

    invalid_share: float = 0.0
    next_page_share: float = 0.0
    away_share: float = 0.0
    duplicate_share: float = 0.0
    duplicate_within_s: float = 0.2
    redelivery_s: float = 0.0
    api_gap_s: float = 0.0


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
        self.identifier = self.identifier_of(number)
        first, last = self._random.choice(_FIRST_NAMES), self._random.choice(_LAST_NAMES)
        self.name = (first, last)
        self.handle = f"{first}_{last}_{number}".lower()
        self.member_id = self.fresh_id()
        # Most members hold one account of their own and one that they share.
        accounts = self._random.choices((1, 2), weights=(2, 8))[0]
        self.account_ids = [self.fresh_id() for _ in range(accounts)]

    @staticmethod
    def identifier_of(number: int) -> str:
        """The identifier of the caller of that number."""
        return f"{IDENTIFIER_PREFIX}{number:09d}"

    def hold(self, accounts: int) -> None:
        """Have so many accounts, if there are fewer."""
        while len(self.account_ids) < accounts:
            self.account_ids.append(self.fresh_id())

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

    def dashboard(self, *, pending_in: int = 0, pending_out: int = 0) -> dict[str, Any]:
        """
        The member and the accounts, as the API returns them after a login.

        Args:
            pending_in: offers that wait for this person, over all accounts.
            pending_out: offers of this person that wait for others, likewise.
        """
        count = len(self.account_ids)
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
            "accounts": [
                {
                    **self._account(index),
                    "pendingInData": [self.offer() for _ in range(index, pending_in, count)],
                    "pendingOutData": [self.offer() for _ in range(index, pending_out, count)],
                }
                for index in range(count)
            ],
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

    def offer(self) -> dict[str, Any]:
        """An offer that waits: 183 bytes in the chat service."""
        return {
            "credexID": self.fresh_id(),
            "formattedInitialAmount": f"{self._amount():.2f} USD",
            "counterpartyAccountName": f"{self.other_name()} Account",
            "secured": True,
            "dueDate": "2026-02-01T00:00",
        }

    def ledger_row(self) -> dict[str, Any]:
        """A row of the account's history: 205 bytes in the chat service."""
        return {
            "credexID": self.fresh_id(),
            "timestamp": "2026-01-01T00:00:00.000Z",
            "type": self._random.choice(("PAYMENT", "RECEIPT")),
            "formattedAmount": f"{self._amount():.2f} USD",
            "counterpartyAccountName": f"{self.other_name()} Account",
            "runningBalance": f"{self._amount():.2f}",
        }

    def count(self, low: int, high: int) -> int:
        """A number of things, each as likely as the others."""
        return self._random.randint(low, high)

    def other_name(self) -> str:
        """First and last name of somebody else."""
        return f"{self._random.choice(_FIRST_NAMES)} {self._random.choice(_LAST_NAMES)}"

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
        }

    def _amount(self) -> float:
        return round(self._random.lognormvariate(3.5, 1.0), 2)

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_LETTERS, k=count))


def _streak(random: Random, share: float, most: int) -> int:
    """How often in a row something with this share happens."""
    count = 0
    while count < most and random.random() < share:
        count += 1
    return count


@cache
def _invalid(step: Step) -> Step:
    """What is typed at a step, and not accepted: the conversation stays where it is."""
    assert step.asked is not None, "only an answer can be wrong"
    context, component = step.asked

    def edit(caller: Caller) -> Edit:
        return Edit(context, component, {"incoming_message": caller.incoming("what?")})

    return Step(f"{step.name} (invalid)", edit)


@cache
def _calling(step: Step, *, first: bool) -> Step:
    """The message, up to the API call: the conversation waits for the answer."""
    assert step.api is not None, "it asks the API"
    context, component = step.api

    def edit(caller: Caller) -> Edit:
        message = {"incoming_message": caller.incoming("hi" if first else "1")}
        return Edit(context, component, message, reset=first)

    return Step(f"{step.name} (api call)", edit)


@cache
def _answer(step: Step) -> Step:
    return replace(step, asked=None, answers=True)


def _base64(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FIRST_NAMES: Final = ("Tendai", "Rudo", "Chipo", "Farai", "Nyasha", "Tapiwa", "Kudzai", "Rumbi")
_LAST_NAMES: Final = ("Moyo", "Ncube", "Dube", "Sibanda", "Mpofu", "Chikafu", "Nyathi", "Gumbo")
