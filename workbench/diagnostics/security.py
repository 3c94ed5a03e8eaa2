"""Security and upkeep: who may reach the server, and what would they be allowed?"""

import re

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.look import Look
from workbench.runs.run import Run

__all__ = [
    "dangerous_commands",
    "health_check",
    "keyspace_events",
    "open_server",
    "outdated",
]

_LOOPBACK = re.compile(r"-?(127\.\d+\.\d+\.\d+|::1|localhost)")
# The categories that ACL CAT of Redis 7.0.15 has them in.
_DANGEROUS = {
    "flushall": ("keyspace", "write", "slow", "dangerous"),
    "flushdb": ("keyspace", "write", "slow", "dangerous"),
    "config": ("admin", "slow", "dangerous"),
    "debug": ("admin", "slow", "dangerous"),
    "shutdown": ("admin", "slow", "dangerous"),
}
_SERVICE = (
    "user service on >… ~channel:* -@all +@read +@write +@connection +@transaction +fcall "
    "+fcall_ro -@admin -@dangerous +info"
)
_CHECKED = re.compile(r"redis-cli\b.*(?: -e\b|PONG)", re.I | re.S)
_PINGED = re.compile(r"redis-cli\b.*\bping\b", re.I | re.S)


def _reachable(look: Look) -> bool:
    """Whether the server listens to other machines."""
    bound = look.setting("bind").split()
    return not bound or not all(_LOOPBACK.fullmatch(address) for address in bound)


def _protected(look: Look) -> bool:
    """Whether protected mode refuses other machines: it does while no password is set."""
    return look.on("protected-mode") and look.last.password_set is False


@rule(
    "open-server",
    title="Is the server closed to strangers?",
    severity="critical",
    needs=("snapshots",),
    why="whoever reaches the port reads and erases every conversation",
    remedy=Remedy(
        redis_conf=f"protected-mode yes; user default off; {_SERVICE}",
        compose='ports: ["127.0.0.1:6379:6379"]; the password as a secret; the health check with '
        "REDISCLI_AUTH and --user service",
        ecs="a security group that lets in the service alone; the password from Secrets Manager, "
        "as REDISCLI_AUTH for the health check too",
    ),
    source="CONFIG bind and protected-mode, ACL GETUSER default; Redis security guide",
)
def open_server(run: Run) -> Judgement:
    """Fails when other machines may connect, and the default user needs no password."""
    look = Look(run)
    bound, protected = look.setting("bind"), look.on("protected-mode")
    closed = look.last.password_set
    evidence = {
        "bind": bound or "every address",
        "protected-mode": "yes" if protected else "no",
        "the default user": {True: "needs a password, or is off", False: "is open"}.get(
            closed, "does not show"
        )
        if closed is not None
        else "does not show",
    }
    if not _reachable(look):
        return ok("only this machine may connect", evidence)
    if closed:
        return ok("other machines may connect, and need a password", evidence)
    if closed is None:
        return unknown(
            "whether the default user needs a password does not show",
            "allow the user +acl|getuser",
            evidence,
        )
    if _protected(look):
        return ok("protected mode refuses other machines", evidence)
    return fail(
        "every machine that reaches the port may read and erase all conversations",
        evidence,
        "bind it to the service's network, and give the default user a password, or turn it off",
    )


@rule(
    "dangerous-commands",
    title="May the service do no more than it needs?",
    severity="warning",
    needs=("snapshots",),
    why="one FLUSHALL, by mistake or by a stranger, ends every conversation",
    remedy=Remedy(
        redis_conf=f"user default off; {_SERVICE}",
        compose="the same lines in users.acl, and --aclfile /etc/redis/users.acl; the health check "
        "with REDISCLI_AUTH and --user service",
        ecs="the same lines in users.acl, in the image or on a volume; REDISCLI_AUTH from Secrets "
        "Manager for the health check",
    ),
    source="ACL GETUSER default; Redis security guide",
)
def dangerous_commands(run: Run) -> Judgement:
    """Fails when other machines may connect, and the default user may call FLUSHALL or CONFIG."""
    look = Look(run)
    if not _reachable(look):
        return ok("only this machine may connect", {"bind": look.setting("bind")})
    if _protected(look):
        return ok("protected mode refuses other machines", {"protected-mode": "yes"})
    rules = look.last.default_user
    if rules is None:
        said = look.last.refused.get("acl|getuser", "the server has no ACL")
        return unknown(f"what the default user may do does not show: {said}", "+acl|getuser")
    evidence = {"the default user": rules or "no command at all"}
    if rules == "off":
        return ok("the default user is off", evidence)
    allowed = [name for name in _DANGEROUS if _may(rules.split(), name)]
    if allowed:
        return fail(
            f"the default user may call {', '.join(name.upper() for name in allowed)}",
            evidence,
            "a user for the service, of the commands that it sends, on keys that are its own; ~ "
            "does not hold FLUSHALL back, since it names no key",
        )
    return ok("the default user may call none that erases or changes the server", evidence)


def _may(rules: list[str], command: str) -> bool:
    """Whether rules of an ACL, read from left to right, end by allowing a command."""
    allowed = False
    named = {command, *(f"@{category}" for category in _DANGEROUS[command]), "@all"}
    for rule_ in rules:
        if rule_ in {"allcommands", "nocommands"}:
            allowed = rule_ == "allcommands"
        elif rule_[1:].lower() in named:
            allowed = rule_[0] == "+"
    return allowed


@rule(
    "health-check",
    title="Does the health check notice a server that refuses everything?",
    severity="warning",
    needs=("snapshots",),
    why="redis-cli ping exits with 0 whatever the answer: the container stays healthy while every "
    "message is refused",
    remedy=Remedy(
        redis_conf="none: it is the container's",
        compose='healthcheck: {test: ["CMD-SHELL", "redis-cli -e ping | grep -q PONG"]}',
        ecs='"healthCheck": {"command": ["CMD-SHELL", "redis-cli -e ping | grep -q PONG"]}',
    ),
    source="the health check of a compose file or task definition, doctor --deployment FILE; "
    "redis-cli 7.0.15 on MISCONF, LOADING and NOAUTH",
)
def health_check(run: Run) -> Judgement:
    """Fails when the deployment's health check is redis-cli ping without -e or a look for PONG."""
    if run.loaded:
        return not_applicable("the run's server is the workbench's, and has no health check")
    if "health_check" not in run.manifest.experiment:
        return unknown(
            "the deployment's health check does not show from the server",
            "name the file: workbench doctor --deployment docker-compose.yml",
        )
    command = str(run.manifest.experiment["health_check"])
    evidence = {"health check": command or "none"}
    if not command:
        return fail("the deployment has no health check", evidence, "add one")
    if _PINGED.search(command) and not _CHECKED.search(command):
        return fail(
            "the health check passes while the server refuses every command",
            evidence,
            "redis-cli -e ping, or look for PONG; with REDISCLI_AUTH where a password is asked for",
        )
    return ok("the health check looks at the answer", evidence)


@rule(
    "outdated",
    title="Is this release still maintained?",
    severity="info",
    needs=("snapshots",),
    why="a hole in a release that nobody maintains stays open",
    remedy=Remedy(
        redis_conf="none: a release that its makers' security policy names",
        compose="image: redis:8-alpine or valkey/valkey:9-alpine, once tried",
        ecs="the image of the task definition, as in compose",
    ),
    source="INFO redis_version and server_name (Valkey says redis_version 7.2.4 whatever it is); "
    "the makers' security policies; of Valkey's releases none is held against them",
)
def outdated(run: Run) -> Judgement:
    """Fails when the server is Redis 7.0 or older."""
    look = Look(run)
    if str(look.last.info.get("server_name", "")) == "valkey":
        version = str(look.last.info.get("valkey_version", "unknown"))
        return ok(f"the server is Valkey {version}", {"valkey_version": version})
    version = str(look.value("redis_version"))
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    evidence = {"redis_version": version}
    if number <= (7, 0):
        return fail(
            f"Redis {version} is no longer maintained", evidence, "plan an upgrade, and try it"
        )
    return ok(f"the server is Redis {version}", evidence)


@rule(
    "keyspace-events",
    title="Are keyspace events off where nobody listens?",
    severity="warning",
    needs=("snapshots",),
    why="each write costs more for nothing, and whoever subscribes learns the names of all keys",
    remedy=Remedy.directives('notify-keyspace-events ""'),
    source="CONFIG notify-keyspace-events, INFO pubsub_patterns and pubsub_channels",
)
def keyspace_events(run: Run) -> Judgement:
    """Fails when keyspace events are on, and nobody subscribes."""
    look = Look(run)
    flags = look.setting("notify-keyspace-events")
    listeners = int(look.number("pubsub_patterns") + look.number("pubsub_channels"))
    evidence = {"notify-keyspace-events": flags or '""', "subscriptions": str(listeners)}
    if flags and not listeners:
        return fail(
            f"keyspace events ({flags}) are on, and nobody listens",
            evidence,
            'CONFIG SET notify-keyspace-events ""; somebody left them on',
        )
    return ok("keyspace events are off" if not flags else "somebody listens to them", evidence)
