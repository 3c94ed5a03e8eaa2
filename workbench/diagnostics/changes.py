"""Changes: which findings came up, changed or went, from one judgement of a server to the next."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from workbench.analysis.patterns import template
from workbench.diagnostics.finding import Finding

__all__ = ["Change", "Changes", "Standing"]


What = Literal["new", "changed", "cleared", "untold"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that stands: a rule that fails, and since when."""

    since_unix_s: float
    finding: Finding


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of a finding.

    Attributes:
        unix_s: when it was judged so.
        what: ``new``; ``changed``, where it says something else, and not only other figures;
            ``cleared``; or ``untold``, where it can no longer be told, and is not known to be over.
        finding: as it is now.
    """

    unix_s: float
    what: What
    finding: Finding


class Changes:
    """What failed up to now; ``take`` each judgement."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}

    @property
    def standing(self) -> list[Standing]:
        """What fails, in the order in which it was judged the last time: the gravest first."""
        return list(self._standing.values())

    def take(self, findings: Iterable[Finding], *, unix_s: float) -> list[Change]:
        """
        Take a judgement.

        Args:
            findings: of all rules, the gravest first.
            unix_s: when they were judged.

        Returns:
            what is not as it was at the one before.
        """
        before, self._standing = self._standing, {}
        changes = []
        for found in findings:
            was = before.get(found.rule)
            if found.verdict == "fail":
                since_s = was.since_unix_s if was else unix_s
                self._standing[found.rule] = Standing(since_unix_s=since_s, finding=found)
                if was is None:
                    changes.append(Change(unix_s=unix_s, what="new", finding=found))
                elif template(was.finding.says) != template(found.says):
                    changes.append(Change(unix_s=unix_s, what="changed", finding=found))
            elif was is not None:
                gone: What = "untold" if found.verdict == "unknown" else "cleared"
                changes.append(Change(unix_s=unix_s, what=gone, finding=found))
        return changes
