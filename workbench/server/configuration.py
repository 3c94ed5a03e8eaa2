"""
A server's configuration as somebody keeps it: a redis.conf, or what Compose or ECS starts.

Read by content, and only read: nothing of it is followed or started here. Whatever form it has, it
becomes the lines of a redis.conf, as Redis itself makes them of its arguments; so one reader does.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from workbench.errors import UsageError, nearest
from workbench.server.settings import of_the_place
from workbench.units import MIB, parse_bytes

__all__ = ["Configuration", "Directive", "read_configuration", "split_words"]

_BYTES_MAX: Final = 1024 * 1024
_SERVERS: Final = frozenset({"redis-server", "valkey-server"})
_IMAGES: Final = frozenset({"redis", "valkey", "redis-stack-server", "valkey-bundle"})
_SHELLS: Final = frozenset({"sh", "bash", "ash"})
_SPACE: Final = " \t\n\r\v\f"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_BARE: Final = re.compile(r"[\w./:%@+,=-]+", re.ASCII)
_VARIABLE: Final = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<other>[^{}]*))?\})"
)


@dataclass(frozen=True, slots=True)
class Directive:
    """
    One line of a configuration that says something.

    Attributes:
        number: of the line, in the redis.conf that is made of the configuration.
        line: in the file as somebody keeps it; 0 if that is not known.
        name: of the setting, in lower case.
        words: what it is set to.
    """

    number: int
    line: int
    name: str
    words: tuple[str, ...]

    @property
    def value(self) -> str:
        """What it is set to, as one text."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    What a file says of a server.

    Attributes:
        kind: ``redis.conf``, ``command line``, ``compose`` or ``ecs``.
        where: the file, and the service in it.
        text: the lines of the redis.conf.
        directives: those that say something.
        unread: files that it names and that were not read.
        health: the words of its health test; None if none is given.
        limit_bytes: of the container's memory; None if none is given.
        sysctls: kernel settings that it asks for.
    """

    kind: str
    where: str
    text: str
    directives: tuple[Directive, ...]
    unread: tuple[str, ...] = ()
    health: tuple[str, ...] | None = None
    limit_bytes: int | None = None
    sysctls: tuple[str, ...] = ()

    def named(self) -> set[str]:
        """The settings that it names."""
        return {each.name for each in self.directives}

    def harmless_text(self, *, without: Iterable[int] = ()) -> str:
        """
        The lines without those that reach outside a folder, each in its place.

        Args:
            without: numbers of further lines to leave out.
        """
        out = {each.number for each in self.directives if of_the_place(each.name)} | set(without)
        lines = self.text.split("\n")
        return "\n".join("" if at in out else line for at, line in enumerate(lines, start=1))


@dataclass(frozen=True, slots=True)
class _Service:
    """A service of a Compose file, or a container of a task, that starts a server."""

    words: list[str]
    health: tuple[str, ...] | None = None
    limit_bytes: int | None = None
    sysctls: tuple[str, ...] = field(default=())


def read_configuration(path: Path, *, service: str | None = None) -> Configuration:
    """
    What a file says of a server; of which kind it is, its content says.

    Args:
        path: a redis.conf, a Compose file, an ECS container or task definition, or a command line.
        service: which service or container, where there are several servers.

    Raises:
        UsageError: it cannot be read, is none of these, or does not say which server is meant.
    """
    text = _read(path)
    first = next((line for line in map(str.strip, text.split("\n")) if line and line[0] != "#"), "")
    if first[:1] in {"{", "["}:
        return _of_ecs(text, path, service)
    if first == "---" or re.match(r"""["']?[\w.-]+["']?\s*:(\s|$)""", first):
        return _of_compose(text, path, service)
    if re.match(r"(?:data|locals|module|output|provider|resource|terraform|variable)\b.*\{", first):
        raise UsageError(
            f"{path} is Terraform, which only Terraform works out; check the container definitions "
            "of its plan, or of the task definition that it made"
        )
    if service is not None:
        raise UsageError(f"--service is for Compose and ECS, and {path} is neither; leave it out")
    if first and PurePosixPath(first.split()[0]).name in _SERVERS:
        words = _shell_words(re.sub(r"\\\n", " ", text), path, comments=True)
        return _of_words(words, "command line", str(path), text, 1)
    directives = tuple(_directives(text, {}))
    return Configuration("redis.conf", str(path), text, directives, _included(directives))


def split_words(line: str) -> list[str] | None:
    r"""
    The words of a line of a redis.conf, by Redis's rules; None if its quotes are not balanced.

    Double quotes know ``\n``, ``\x0a`` and the like, single quotes only ``\'``; a closing quote
    ends the word.

    Source:
        What a server of 7.0.15 reads, compared by CONFIG GET.
    """
    words: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _SPACE:
            at += 1
        if at == len(line):
            return words
        word, at = _word(line, at)
        if word is None:
            return None
        words.append(word)


def _word(line: str, at: int) -> tuple[str | None, int]:
    said = ""
    while at < len(line) and line[at] not in _SPACE:
        quote = line[at]
        if quote not in {'"', "'"}:
            said += quote
            at += 1
            continue
        inner, at = _within_quotes(line, at + 1, quote)
        if inner is None or (at < len(line) and line[at] not in _SPACE):
            return None, at
        return said + inner, at
    return said, at


def _within_quotes(line: str, at: int, quote: str) -> tuple[str | None, int]:
    said = ""
    while at < len(line):
        char = line[at]
        if char == quote:
            return said, at + 1
        if char == "\\" and at + 1 < len(line):
            code = line[at + 2 : at + 4] if quote == '"' and line[at + 1] == "x" else ""
            if re.fullmatch(r"[0-9a-fA-F]{2}", code):
                said += chr(int(code, 16))
                at += 4
                continue
            if quote == '"' or line[at + 1] == "'":
                said += _ESCAPES.get(line[at + 1], line[at + 1]) if quote == '"' else "'"
                at += 2
                continue
        said += char
        at += 1
    return None, at


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # a name may hold NUL
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} cannot be read: {why}") from None
    if len(content) > _BYTES_MAX:
        raise UsageError(f"{path} is larger than 1 MiB, so it is no configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text, so it is no configuration") from None
    if "\0" in text:
        raise UsageError(f"{path} holds a NUL, so it is no configuration")
    return text


def _directives(text: str, lines: Mapping[int, int]) -> Iterable[Directive]:
    for number, line in enumerate(text.split("\n"), start=1):
        told = line.strip(" \t\r\n")
        words = split_words(told) if told and told[0] != "#" else None
        if words:
            at = lines.get(number, 0) if lines else number
            yield Directive(number, at, words[0].lower(), tuple(words[1:]))


def _included(directives: Iterable[Directive]) -> tuple[str, ...]:
    return tuple(each.value for each in directives if each.name == "include")


def _of_words(words: list[str], kind: str, where: str, text: str, begin: int) -> Configuration:
    """The configuration that a command line gives; ``begin`` is where in the text it stands."""
    words = _server_words(words, where)
    rest = words[1:]
    unread: tuple[str, ...] = ()
    if rest and not rest[0].startswith("--"):
        unread, rest = (rest[0],), rest[1:]
    if any(word == "--sentinel" for word in rest):
        raise UsageError(f"{where} starts a sentinel, which keeps no conversations")
    conf = _as_conf(rest)
    found = [each.name for each in _directives(conf, {})]
    lines = _lines_of(found, text, begin)
    directives = tuple(_directives(conf, dict(enumerate(lines, start=1)) or {1: 0}))
    return Configuration(kind, where, conf, directives, unread + _included(directives))


def _server_words(words: list[str], where: str) -> list[str]:
    if len(words) > 2 and PurePosixPath(words[0]).name in _SHELLS and words[1] == "-c":
        words = _shell_words(words[2], where)
        if any(re.search(r"[|;&<>$`]", word) for word in words):
            raise UsageError(
                f"{where}: the command is a script for a shell, which cannot be worked out here; "
                "check the redis.conf or the redis-server line by itself"
            )
        words = words[1:] if words[:1] == ["exec"] else words
    if words and PurePosixPath(words[0]).name in _SERVERS:
        return words
    if not words or words[0].startswith("-") or words[0].endswith(".conf"):
        return ["redis-server", *words]  # as the images' entry point does
    raise UsageError(f"{where}: the command starts {words[0]!r}, which is no redis-server")


def _as_conf(words: list[str]) -> str:
    """The redis.conf that Redis 7.0 makes of its arguments, a line an option."""
    conf = ""
    for at, word in enumerate(words):
        if not word.startswith("--"):
            conf += _as_argument(word) + " "
            continue
        conf += ("\n" if conf else "") + word[2:] + " "
        last = at + 1 == len(words)
        if word.lower() == "--save" and (last or words[at + 1].startswith("--")):
            conf += '""'
    return conf


def _as_argument(word: str) -> str:
    if _BARE.fullmatch(word):
        return word
    escaped = "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else _escape(char)
        for char in word
    )
    return f'"{escaped}"'


def _escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())


def _lines_of(names: list[str], text: str, begin: int) -> list[int]:
    """In which line of the text each option stands, one after the other; 0 where none has it."""
    found = []
    at = sum(len(line) + 1 for line in text.split("\n")[: begin - 1])
    for name in names:
        hit = re.compile(rf"--{re.escape(name)}(?![\w-])", re.IGNORECASE).search(text, at)
        found.append(text.count("\n", 0, hit.start()) + 1 if hit else 0)
        at = hit.end() if hit else at
    return found


def _of_ecs(text: str, path: Path, service: str | None) -> Configuration:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply to be a container definition") from None
    if isinstance(content, dict):
        content = content.get("taskDefinition", content)
    if isinstance(content, dict):
        content = content.get("containerDefinitions", content)
    found = content if isinstance(content, list) else [content]
    if not all(isinstance(each, dict) and {"image", "command"} & each.keys() for each in found):
        raise UsageError(
            f"{path} is JSON, but no ECS container definition: it has neither image nor command"
        )
    containers = {str(each.get("name", at)): each for at, each in enumerate(found)}
    name = _chosen(containers, service, path, "container", ("entryPoint", "command"))
    where = f"{path}, container {name}"
    told = containers[name]
    words = _list_of(told, "entryPoint", where) + _list_of(told, "command", where)
    if any("${" in word for word in words):
        raise UsageError(f"{where}: its command holds ${{…}}, which only Terraform can work out")
    memory_mib = told.get("memory")
    controls = told.get("systemControls") or []
    health = told.get("healthCheck")
    chosen = _Service(
        words,
        tuple(_list_of(health, "command", where)) if isinstance(health, dict) else None,
        memory_mib * MIB if isinstance(memory_mib, int) and memory_mib else None,
        tuple(str(each.get("namespace", "")) for each in controls if isinstance(each, dict)),
    )
    return _of_service(chosen, "ecs", where, text, rf'"name"\s*:\s*"{re.escape(name)}"')


def _of_compose(text: str, path: Path, service: str | None) -> Configuration:
    content = _yaml(text, path)
    services = content.get("services", content) if isinstance(content, dict) else None
    if isinstance(services, dict) and {"image", "command"} & services.keys():
        services = {"the service": services}
    if not isinstance(services, dict) or not all(isinstance(s, dict) for s in services.values()):
        raise UsageError(f"{path} is YAML, but no Compose file: it has no services")
    name = _chosen(services, service, path, "service", ("entrypoint", "command"))
    where = f"{path}, service {name}" if name != "the service" else str(path)
    told = services[name]
    words = [
        word
        for key in ("entrypoint", "command")
        for word in _compose_words(told.get(key), f"{where}: {key}")
    ]
    health = told.get("healthcheck")
    test = health.get("test") if isinstance(health, dict) else None
    limit = told.get("mem_limit") or _nested(told, "deploy", "resources", "limits", "memory")
    chosen = _Service(
        words,
        tuple(map(str, test)) if isinstance(test, list) else None if test is None else (str(test),),
        _docker_bytes(limit, where),
        tuple(str(each).partition("=")[0] for each in told.get("sysctls") or ()),
    )
    return _of_service(chosen, "compose", where, text, rf"""^\s*["']?{re.escape(name)}["']?\s*:""")


def _of_service(service: _Service, kind: str, where: str, text: str, sign: str) -> Configuration:
    lines = text.split("\n")
    begin = next((at for at, line in enumerate(lines, start=1) if re.search(sign, line)), 1)
    read = _of_words(service.words, kind, where, text, begin)
    return Configuration(
        read.kind,
        read.where,
        read.text,
        read.directives,
        read.unread,
        service.health,
        service.limit_bytes,
        service.sysctls,
    )


def _chosen(
    services: Mapping[str, Any], asked: str | None, path: Path, noun: str, keys: tuple[str, ...]
) -> str:
    if asked is not None:
        if asked not in services:
            raise UsageError(f"{path} has no {noun} {asked!r}{nearest(asked, services)}")
        return asked
    servers = [name for name, told in services.items() if _is_server(told, keys)]
    if not servers:
        raise UsageError(
            f"{path} has no {noun} that starts a redis-server; name one by --service: "
            f"{', '.join(services)}"
        )
    if len(servers) > 1:
        raise UsageError(f"{path} has several servers; name one by --service: {', '.join(servers)}")
    return servers[0]


def _is_server(told: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    image = str(told.get("image", "")).rpartition("/")[2]
    if re.split("[:@]", image, maxsplit=1)[0] in _IMAGES:
        return True
    said = " ".join(
        " ".join(map(str, part)) if isinstance(part, list) else str(part)
        for part in (told.get(key) for key in keys)
    )
    return bool(re.search(r"(?:^|[\s'\"/])(?:redis|valkey)-server(?:$|\s)", said))


def _list_of(told: Mapping[str, Any], key: str, where: str) -> list[str]:
    words = told.get(key) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{where}: {key} is not a list of texts; put each word in quotes")
    return words


def _compose_words(said: Any, where: str) -> list[str]:
    """The words of a command, with its variables worked out as Compose does."""
    if said is None or said == "":
        return []
    if isinstance(said, list):
        return [_interpolated(str(word), where) for word in said]
    if isinstance(said, str):
        return _shell_words(_interpolated(said, where), where)
    raise UsageError(f"{where} is neither a text nor a list")


def _interpolated(text: str, where: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name = found["bare"] or found["name"]
        how = found["how"] or ""
        given = os.environ.get(name)
        if given or (given == "" and not how.startswith(":")):
            return given
        if how.endswith("-"):
            return str(found["other"])
        raise UsageError(
            f"{where} holds ${{{name}}}, which has no value; set it in the environment"
        )

    worked_out = _VARIABLE.sub(value, text)
    if "${" in _VARIABLE.sub("", text):
        raise UsageError(f"{where} holds a ${{…}} that Compose would not work out")
    return worked_out


def _shell_words(text: str, where: object, *, comments: bool = False) -> list[str]:
    if "${" in text or "$(" in text:
        raise UsageError(f"{where} holds a ${{…}} or $(…): work it out first")
    try:
        return shlex.split(text, comments=comments)
    except ValueError as error:
        raise UsageError(f"{where}: the command line is not one: {error}") from None


def _docker_bytes(limit: Any, where: str) -> int | None:
    """Docker's sizes: b, k, m, g, kb, mb, gb, all powers of 1024."""
    if limit in (None, "", "0"):
        return None
    text = _interpolated(str(limit), where).lower()
    try:
        return parse_bytes(text + "b" if text[-1] in "kmg" else text)
    except UsageError:
        raise UsageError(f"{where}: the memory limit {text!r} is not a size such as 512m") from None


def _nested(told: Mapping[str, Any], *keys: str) -> Any:
    value: Any = told
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _yaml(text: str, path: Path) -> Any:
    import yaml

    # Every scalar stays the text that it is: Compose reads `no` and `64` as such.
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: Final = {
            "<": [("tag:yaml.org,2002:merge", re.compile("^(?:<<)$"))]
        }

    try:
        return yaml.load(text, Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it cannot be read"
        raise UsageError(f"{path}{at}: not YAML that Compose reads: {why}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply to be a Compose file") from None
