"""
How a server is set, beside how the documents set it: a file's server, or one that runs.

A file is judged by a server program that reads it: a private one, in an empty folder, without the
lines that reach outside it. A server that runs is sent CONFIG GET and nothing else.
"""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from workbench.errors import ServerNotReadyError, UsageError, nearest
from workbench.server.binary import ServerBinary
from workbench.server.configuration import Configuration, Directive
from workbench.server.guard import parse_target
from workbench.server.process import PrivateServer
from workbench.server.profiles import DEFAULTS_OF_7_0, ServerProfile
from workbench.server.settings import (
    NEWER_THAN_7_0,
    SECRETS,
    Difference,
    Severity,
    dead_settings,
    differences,
    is_alias,
    of_the_place,
    without_secrets,
)
from workbench.state import connect, redact
from workbench.units import format_bytes

__all__ = ["Check", "Note", "check_configuration", "check_server"]

_REFUSED: Final = re.compile(
    r"FATAL CONFIG FILE ERROR.*?at line (?P<line>\d+)\s+>>> '(?P<text>.*?)'\n(?P<why>[^\n]*)",
    re.DOTALL,
)
_SEVERAL: Final = frozenset(
    {"client-output-buffer-limit", "include", "loadmodule", "rename-command", "save", "user"}
)
"""Directives that may stand several times, each with its effect."""

_ON_FARGATE: Final = re.compile(
    r"net\..*|fs\.mqueue\..*"
    r"|kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)"
)


@dataclass(frozen=True, slots=True)
class Note:
    """
    Something about a setting that CONFIG GET does not tell.

    Attributes:
        name: the setting.
        value: what it is set to; empty where that is nobody's business.
        says: a sentence.
        severity: how grave it is.
        line: of the file; 0 where there is none.
    """

    name: str
    value: str
    says: str
    severity: Severity = "info"
    line: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """
    What was found.

    Attributes:
        where: the file, or the server.
        kind: of the file; ``server`` for one that runs.
        program: the server that read the file, or whose defaults a running one is held against.
        matter: what differs from the documents, or keeps the server from its work; the gravest
            first.
        no_effect: what is set, and has no effect.
        others: what differs besides.
        unread: files that were not read, so that what they set is not known.
        elsewhere: settings of the place, which were not looked at.
        uncompared: settings that only one of the two servers knows.
        config: the server's settings, without passwords.
        lines: where each setting stands in the file, as far as that is known.
        warnings: what it warned of at its start; of a file's server only.
    """

    where: str
    kind: str
    program: str
    matter: tuple[Difference | Note, ...]
    no_effect: tuple[Note, ...]
    others: tuple[Difference | Note, ...]
    unread: tuple[str, ...]
    elsewhere: tuple[str, ...]
    uncompared: tuple[str, ...]
    config: dict[str, str]
    lines: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``differs``, ``unknown`` or ``as documented``."""
        if self.matter:
            return "differs"
        return "unknown" if self.unread else "as documented"

    @property
    def exit_code(self) -> int:
        """1 where a difference matters, 3 where something was not read, else 0."""
        return {"differs": 1, "unknown": 3}.get(self.verdict, 0)


class _GivenServer(PrivateServer):
    """A private server with somebody's configuration, as far as that stays in the folder."""

    def __init__(self, text: str, folder: Path, profile: ServerProfile, binary: ServerBinary):
        super().__init__(profile, folder, binary=binary)
        self._text = text

    def _configuration(self, port: int) -> str:
        # Of two lines Redis takes the later. What makes Valkey a 7.0 stands before, and counts in
        # the number of a line; see _prelude.
        ours = {"bind": "127.0.0.1", "port": str(port), "dir": ".", "logfile": '"redis.log"'}
        ours |= {"daemonize": "no", "pidfile": '""', "unixsocket": '""'}
        return f"{_prelude(self.binary)}{self._text}\n{_lines(ours)}"


def check_configuration(
    configuration: Configuration, profile: ServerProfile, binary: ServerBinary
) -> Check:
    """
    Hold a file's settings against the documented ones.

    Args:
        configuration: what was read of the file.
        profile: the documented settings.
        binary: the program that is to read both.

    Raises:
        UsageError: the program does not take the file; in its own words, with the line.
        ServerError: the program does not start with the documented settings either.
    """
    documented = _settings_of_profile(profile, binary)
    refused = _unusable_here(configuration, profile, binary, documented)
    config, warnings = _settings_of(configuration, profile, binary, documented, refused)
    chosen = configuration.named()
    # A file that was not read may set whatever this one does not.
    differing = [
        each
        for each in differences(config, documented)
        if each.name in chosen or not configuration.unread
    ]
    matter, no_effect, others = _sorted(
        [*differing, *_place_notes(configuration)],
        [
            *_dead(config, chosen, configuration.directives),
            *_repeated(configuration.directives),
            *refused.values(),
            *_container_notes(configuration),
        ],
    )
    limit = configuration.limit_bytes
    if limit is not None and int(config["maxmemory"]) >= limit:
        matter = [
            Note(
                "maxmemory",
                config["maxmemory"],
                f"The container's limit is {format_bytes(limit)}, so the kernel ends the server "
                "before anything is evicted.",
                "critical",
            ),
            *matter,
        ]
    return Check(
        configuration.where,
        configuration.kind,
        binary.label,
        tuple(matter),
        tuple(no_effect),
        tuple(others),
        configuration.unread,
        tuple(sorted({name for name in chosen if of_the_place(name)})),
        (),
        without_secrets(config),
        {each.name: each.line for each in configuration.directives if each.line},
        warnings,
    )


def check_server(url: str, profile: ServerProfile, binary: ServerBinary) -> Check:
    """
    Hold a running server's settings against the documented ones; it is sent CONFIG GET alone.

    Args:
        url: of the server.
        profile: the documented settings.
        binary: the program whose defaults stand for what the documents leave open.

    Raises:
        TargetRefusedError: the URL makes no sense.
        ServerNotReadyError: nothing answers there, or not to CONFIG GET.
    """
    parse_target(url)
    try:
        with connect(url, timeout_s=5.0) as client:
            config = _config_get(client)
    except RedisError as error:
        refused = isinstance(error, ResponseError) and not isinstance(error, AuthenticationError)
        hint = "; a managed server shows its settings in its parameter group" if refused else ""
        raise ServerNotReadyError(
            f"{redact(url)} does not answer CONFIG GET: {redact(str(error)).rstrip('.')}{hint}"
        ) from None
    documented = _settings_of_profile(profile, binary)
    matter, no_effect, others = _sorted(differences(config, documented), _dead(config, (), ()))
    unlike = {
        name
        for name in config.keys() ^ documented.keys()
        if not of_the_place(name) and not is_alias(name)
    }
    return Check(
        redact(url),
        "server",
        binary.label,
        tuple(matter),
        tuple(no_effect),
        tuple(others),
        (),
        (),
        tuple(sorted(unlike)),
        without_secrets(config),
    )


def _settings_of_profile(profile: ServerProfile, binary: ServerBinary) -> dict[str, str]:
    # Started as a file's server is, so that both have what no file sets alike.
    text = _lines(profile.directives())
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as folder,
        _GivenServer(text, Path(folder), profile, binary) as server,
        server.client() as client,
    ):
        return _config_get(client)


def _settings_of(
    configuration: Configuration,
    profile: ServerProfile,
    binary: ServerBinary,
    documented: dict[str, str],
    refused: dict[int, Note],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What CONFIG GET answers of a server with the configuration, and what its log warns of."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        text = configuration.harmless_text(without=refused)
        server = _GivenServer(text, Path(folder), profile, binary)
        try:
            with server, server.client() as client:
                return _config_get(client), _warnings(server.log)
        except ServerNotReadyError as error:
            raise _not_taken(configuration, server, documented, error) from None
        except RedisError as error:
            raise UsageError(
                f"{configuration.where}: a server with it starts, and does not answer: "
                f"{redact(str(error))}"
            ) from None


def _unusable_here(
    configuration: Configuration,
    profile: ServerProfile,
    binary: ServerBinary,
    documented: dict[str, str],
) -> dict[int, Note]:
    """The lines that this build refuses and another of the same version takes, by their number."""
    lines = [each for each in configuration.directives if each.name == "activedefrag"]
    if documented.get("activedefrag") != "no" or not any(each.value == "yes" for each in lines):
        return {}
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        server = _GivenServer("activedefrag yes", Path(folder), profile, binary)
        try:
            with server:
                return {}
        except ServerNotReadyError:
            found = _REFUSED.search(server.log.read_text(errors="replace"))
    why = found["why"] if found else "it does not start"
    return {
        each.number: Note(
            "activedefrag",
            each.value,
            f"{binary.label} refuses it, so it was left out: {why}.",
            line=each.line,
        )
        for each in lines
    }


def _config_get(client: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in client.config_get("*").items()}


def _not_taken(
    configuration: Configuration,
    server: PrivateServer,
    documented: dict[str, str],
    error: ServerNotReadyError,
) -> UsageError:
    """The program's own words, with the line of the file and what was probably meant."""
    label = server.binary.label
    found = _REFUSED.search(server.log.read_text(errors="replace"))
    if found is None:
        return UsageError(f"{configuration.where}: {label} does not start with it: {error}")
    number = int(found["line"]) - _prelude(server.binary).count("\n")
    words = found["text"].split(maxsplit=1)
    name = words[0].lower().strip("\"'") if words else ""
    line = number if configuration.kind == "redis.conf" else _line_of(configuration, number)
    at = f", line {line}" if line else ""
    told, hint = found["text"], ""
    if "Bad directive" in found["why"] and name not in documented:
        told = f"{name} …" if len(words) > 1 else name  # who knows what its value is
        newer = NEWER_THAN_7_0.get(name)
        hint = f"; {newer} knows it" if newer else nearest(name, documented).partition("; known")[0]
    elif name in SECRETS or "Unbalanced" in found["why"]:
        told = f"{name} …"
    return UsageError(f"{configuration.where}{at}: {label} says: {found['why']}: {told!r}{hint}")


def _line_of(configuration: Configuration, number: int) -> int:
    return next((each.line for each in configuration.directives if each.number == number), 0)


def _sorted(
    differing: Iterable[Difference | Note], without_effect: list[Note]
) -> tuple[list[Difference | Note], list[Note], list[Difference | Note]]:
    """What matters, what has no effect, and the rest; a difference without effect is none."""
    dead = {each.name for each in without_effect}
    counted = [each for each in differing if isinstance(each, Note) or each.name not in dead]
    order = ("critical", "warning")
    matter = [each for each in counted if each.severity in order]
    matter.sort(key=lambda each: order.index(each.severity))
    return matter, without_effect, [each for each in counted if each.severity == "info"]


def _dead(
    config: dict[str, str], named: Iterable[str], directives: Iterable[Directive]
) -> list[Note]:
    lines = {each.name: each.line for each in directives}
    return [
        Note(dead.name, dead.value, f"{dead.says}.", line=lines.get(dead.name, 0))
        for dead in dead_settings(config, named=frozenset(named))
    ]


def _repeated(directives: Iterable[Directive]) -> list[Note]:
    last: dict[str, Directive] = {}
    found = []
    for each in directives:
        before = last.get(each.name)
        if before is not None and each.name not in _SEVERAL:
            at = f" in line {each.line}" if each.line else ""
            value = "" if before.name in SECRETS else before.value
            says = f"it is set again{at}, and the last one counts."
            found.append(Note(before.name, value, says, line=before.line))
        last[each.name] = each
    return found


def _place_notes(configuration: Configuration) -> list[Note]:
    """What is to be said of lines that were left out, and of those that 7.0 does not know."""
    last = {each.name: each for each in configuration.directives}
    found = []

    def note(name: str, severity: Severity, says: str, *, value: bool = True) -> None:
        each = last[name]
        found.append(Note(name, each.value if value else "", says, severity, each.line))

    for name in ("replicaof", "slaveof", "primaryof"):
        if name in last and last[name].value != "no one":
            note(name, "critical", "It would be a replica: every write is refused (READONLY).")
    if last.get("cluster-enabled") and last["cluster-enabled"].value.lower() == "yes":
        says = "It would be a node of a cluster: a client that does not speak to clusters fails."
        note("cluster-enabled", "warning", says)
    if last.get("rename-command"):
        says = "A client that uses the command by its own name fails."
        note("rename-command", "info", says, value=False)
    for name in sorted(SECRETS & last.keys()):
        if last[name].value:
            says = (
                "A password is in the file, so whoever reads the file has it. It is not shown here."
            )
            note(name, "info", says, value=False)
    for name in ("user", "aclfile"):
        if name in last:
            says = "Users and what they may do were not compared."
            note(name, "info", says, value=False)
    for name, newer in NEWER_THAN_7_0.items():
        if name in last:
            says = f"Redis 7.0 does not know it, and would not start; {newer} does."
            note(name, "critical", says, value=name not in SECRETS)
    return found


def _container_notes(configuration: Configuration) -> list[Note]:
    """What a container's own settings do not do."""
    found = []
    health = configuration.health or ()
    words = " ".join(health)
    bare = "redis-cli" in words and "ping" in words.lower()
    if bare and " -e" not in words and "PONG" not in words:
        says = (
            "redis-cli exits 0 whatever the reply, so this stays green while every write is "
            "refused (MISCONF) or the AOF is being read (LOADING); redis-cli -e ping does not."
        )
        found.append(Note("health test", words, says))
    for name in configuration.sysctls:
        if configuration.kind == "ecs" and not _ON_FARGATE.fullmatch(name):
            says = (
                "Fargate takes net.*, some kernel.* of IPC and fs.mqueue.* alone; on EC2 it is set "
                "on the host."
            )
            found.append(Note("systemControls", name, says))
        elif configuration.kind == "compose" and name.startswith("vm."):
            says = "It is the kernel's, not the container's: set it by sysctl on the host."
            found.append(Note("sysctls", name, says))
    return found


def _warnings(log: Path) -> tuple[str, ...]:
    text = log.read_text(errors="replace")
    return tuple(re.findall(r"# (WARNING.*)", text))


def _prelude(binary: ServerBinary) -> str:
    return _lines(dict(DEFAULTS_OF_7_0)) if binary.engine == "valkey" else ""


def _lines(directives: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in directives.items())
