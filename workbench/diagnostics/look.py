"""
Look: what the snapshots of a run tell, for rules that need no more.

What is not told ends the rule: a field that this server does not have makes it not applicable,
and what may not be asked, or does not show, makes it unknown. Nothing is ever taken for 0.
"""

from typing import Any

from workbench.diagnostics.finding import UntoldError, not_applicable, unknown
from workbench.runs.run import Run
from workbench.runs.snapshot import Clients, KeysOfPrefix, Snapshot

__all__ = ["Look"]

_GAUGES = frozenset({"connected_clients"})  # whose growth is of interest, and that may fall


class Look:
    """
    The snapshots of a run, asked for single values.

    Args:
        run: with one snapshot or more.

    Attributes:
        first, last: snapshots.
        restarted: whether the server began anew in between: then its counters are those since.
        window_s: that its counters are of, from the first snapshot or the restart to the last, s; 0
            if there is but one snapshot.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.first: Snapshot = run.snapshots[0]
        self.last: Snapshot = run.snapshots[-1]
        self.restarted = self.first.info.get("run_id") != self.last.info.get("run_id")
        self.window_s = max(0.0, self.last.unix_s - self.first.unix_s)
        if self.restarted:
            self.window_s = min(self.window_s, float(self.last.info.get("uptime_in_seconds") or 0))

    def value(self, name: str) -> Any:
        """A field of INFO, at the end."""
        if name not in self.last.info:
            raise UntoldError(not_applicable(f"the INFO of this server has no {name}"))
        return self.last.info[name]

    def number(self, name: str) -> float:
        """A field of INFO that is a number, at the end."""
        value = self.value(name)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UntoldError(
                unknown(
                    f"INFO says {name} is {value!r}, which is no number", "look at INFO by hand"
                )
            ) from None

    def grown(self, name: str) -> float:
        """By how much a counter of INFO grew from the first snapshot to the last."""
        self.require_window()
        before = 0 if self.restarted else self.first.info.get(name, 0)
        by = self.number(name) - float(before)
        if by < 0 and name not in _GAUGES:
            raise UntoldError(
                unknown(
                    f"{name} fell: the server's statistics were reset in the window",
                    "look again without CONFIG RESETSTAT in between",
                )
            )
        return by

    def grown_in(self, prefix: str, member: str) -> dict[str, float]:
        """
        By how much a counter grew in each field of a family, such as ``calls`` of ``cmdstat_…``.

        A field that came up in between grew from 0: INFO names those only that were seen.
        """
        self.require_window()
        found = {}
        for name, values in self.last.info.items():
            if name.startswith(prefix) and isinstance(values, dict):
                before = {} if self.restarted else self.first.info.get(name, {})
                found[name.removeprefix(prefix)] = values[member] - before.get(member, 0)
        return {name: by for name, by in found.items() if by > 0}

    def rate(self, name: str) -> float:
        """How fast a counter of INFO grew, by the second."""
        return self.grown(name) / self.window_s

    def require_window(self) -> None:
        """That there are two snapshots, and so a time in between."""
        if self.window_s <= 0:
            raise UntoldError(
                unknown(
                    "the server was restarted just now, and its counters began anew"
                    if self.restarted
                    else "there is one snapshot alone, and a rate needs two",
                    "look for some seconds, by --for; or run it to its end",
                )
            )

    def setting(self, name: str) -> str:
        """A setting by CONFIG GET."""
        config = self.last.config
        if not config:
            said = self.last.refused.get("config|get", "it answered nothing")
            raise UntoldError(
                unknown(f"CONFIG GET cannot be asked: {said}", "allow the user +config|get")
            )
        if name not in config:
            raise UntoldError(not_applicable(f"this server has no setting {name}"))
        return config[name]

    @property
    def keys_with_ttl(self) -> int:
        """Keys with a time to live, in all databases."""
        return sum(
            int(values["expires"])
            for name, values in self.last.info.items()
            if name.startswith("db") and name[2:].isdigit()
        )

    def on(self, name: str) -> bool:
        """Whether a setting is ``yes``."""
        return self.setting(name) == "yes"

    def host(self, name: str) -> Any:
        """What the server's host shows."""
        host = self.last.host
        value = None if host is None else getattr(host, name)
        if value is None:
            raise UntoldError(
                unknown(
                    f"the server's host is not this one, and its {name} does not show"
                    if host is None
                    else f"the host does not show {name}",
                    "run it on the server's host: workbench doctor",
                )
            )
        return value

    @property
    def cpu_limit_cores(self) -> float:
        """What the server's one thread may take of a core: 1, or less under a container's limit."""
        shown = self.last.host.cpu_limit_cores if self.last.host else None
        return min(1.0, shown or 1.0)

    def limit_bytes(self) -> float:
        """The memory limit of the server: that of its container, as given or as the host shows."""
        given = self.run.manifest.experiment.get("memory_limit_bytes")
        return float(given or self.host("memory_limit_bytes"))

    def clients(self) -> Clients:
        """CLIENT LIST in figures."""
        if self.last.clients is None:
            said = self.last.refused.get("client|list", "there are too many")
            raise UntoldError(
                unknown(f"CLIENT LIST cannot be asked: {said}", "allow the user +client|list")
            )
        return self.last.clients

    def keys(self) -> dict[str, KeysOfPrefix]:
        """The sampled keys by prefix."""
        if self.last.keys is None:
            said = self.last.refused.get("scan")
            raise UntoldError(
                unknown(
                    f"keys cannot be looked at: {said}" if said else "no keys were looked at",
                    "ask for them: workbench doctor --keys 1000; docs/how-to/attach.md names the "
                    "commands that its user needs",
                )
            )
        return self.last.keys

    def only_sampled(self, instead: str) -> None:
        """That the load is not the workbench's own, of which turns tell more."""
        if self.run.loaded:
            raise UntoldError(not_applicable(instead))

    @property
    def persistent(self) -> bool:
        """Whether the server keeps its data on disk."""
        save = self.last.config.get("save", "")
        return bool(self.last.info.get("aof_enabled")) or save != ""

    @property
    def aof(self) -> bool:
        """Whether the server keeps an AOF."""
        return bool(self.last.info.get("aof_enabled"))

    def require_aof(self) -> None:
        """That the server keeps an AOF."""
        if not self.aof:
            raise UntoldError(not_applicable("the server keeps no AOF"))
