"""Clients: are they let in, do they come back to the same connections, do they read?"""

from workbench.analysis.latency import percentiles_us
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.limits import ACCEPT_SHARE_MAX, CONNECTIONS_PER_COMMAND_MAX
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import format_duration, format_share

__all__ = [
    "blocked_clients",
    "client_pool",
    "connection_churn",
    "dropped_clients",
    "idle_clients",
    "output_limit",
    "refused_clients",
]

_IDLE_SHARE_MAX = 0.1
_CHURN_MIN = 100
_CHURN_PER_S_MIN = 1.0
_WAITING_SHARE_MAX = 0.1


@rule(
    "refused-clients",
    title="Is every client let in?",
    severity="critical",
    needs=("snapshots",),
    why="a handler that is not let in answers nobody",
    remedy=Remedy(
        redis_conf="maxclients above all pools of all processes together, with its file limit",
        compose="ulimits: {nofile: 65536}, and smaller pools in the service",
        ecs='"ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}]',
    ),
    source="INFO rejected_connections over the window, connected_clients over maxclients; 0.9 is a "
    "common alert's",
)
def refused_clients(run: Run) -> Judgement:
    """Fails when connections were refused in the window, or 0.9 of maxclients are there."""
    look = Look(run)
    clients, most = look.number("connected_clients"), look.number("maxclients")
    share = clients / most if most else 0.0
    refused = look.grown("rejected_connections")
    evidence = {
        "connected": f"{clients:,.0f} of {most:,.0f}",
        "refused in the window": f"{refused:,.0f}",
    }
    if refused or share > ACCEPT_SHARE_MAX:
        return fail(
            f"{refused:,.0f} connections were refused, and {format_share(share)} of maxclients "
            "are taken",
            evidence,
            "pools × processes must be under maxclients: one pool for each process, of a size that "
            "its threads use",
        )
    return ok(f"{format_share(share)} of maxclients are taken, and none was refused", evidence)


@rule(
    "blocked-clients",
    title="Does no client wait within the server?",
    severity="warning",
    needs=("snapshots",),
    why="flow state needs no command that waits: something waits for what nobody writes",
    remedy=Remedy(
        redis_conf="none: find who sends BLPOP, XREAD BLOCK or WAIT: CLIENT LIST, flags b",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO blocked_clients at the start and at the end",
)
def blocked_clients(run: Run) -> Judgement:
    """Fails when clients were blocked both at the start and at the end."""
    look = Look(run)
    look.require_window()
    before, now = (
        int(look.first.info.get("blocked_clients", 0)),
        int(look.number("blocked_clients")),
    )
    evidence = {"blocked at the start": str(before), "at the end": str(now)}
    if before and now:
        return fail(
            f"{now} clients wait within the server",
            evidence,
            "CLIENT LIST tells for what: flags b, and cmd",
        )
    return ok("no client was seen to wait for long", evidence)


@rule(
    "idle-clients",
    title="Are connections used?",
    severity="warning",
    needs=("snapshots",),
    why="connections that nobody closes fill maxclients, and then nobody is let in",
    remedy=Remedy.directives("tcp-keepalive 60"),
    source="CLIENT LIST, idle, over maxclients; CONFIG timeout; a tenth is an assumption",
)
def idle_clients(run: Run) -> Judgement:
    """Fails when clients that sent nothing for an hour take a tenth of maxclients."""
    look = Look(run)
    timeout, clients = int(look.setting("timeout")), look.clients()
    share = clients.idle_over_1h / max(1.0, look.number("maxclients"))
    evidence = {
        "clients": f"{clients.count:,}",
        "idle for over an hour": f"{clients.idle_over_1h:,} ({format_share(share)} of maxclients)",
        "timeout": f"{timeout} s" if timeout else "none",
    }
    if share > _IDLE_SHARE_MAX and not timeout:
        return fail(
            f"{clients.idle_over_1h:,} clients sent nothing for over an hour",
            evidence,
            "one pool for each process, and not one for each request; keepalive ends those whose "
            "process is gone",
        )
    return ok(f"{clients.idle_over_1h:,} clients sent nothing for over an hour", evidence)


@rule(
    "output-limit",
    title="Is there a limit to what waits for a client that does not read?",
    severity="info",
    needs=("snapshots",),
    why="what waits for slow readers is taken from conversations: see client-buffers",
    remedy=Remedy.directives(
        "maxmemory-clients 5%", "client-output-buffer-limit normal 32mb 8mb 60"
    ),
    source="CONFIG client-output-buffer-limit and maxmemory-clients; 8 slow readers evicted "
    "26 % of "
    "the keys of Redis 7.0.15",
)
def output_limit(run: Run) -> Judgement:
    """Fails when neither normal clients nor all of them together have a limit."""
    look = Look(run)
    limits, total = look.setting("client-output-buffer-limit"), look.setting("maxmemory-clients")
    evidence = {"client-output-buffer-limit": limits, "maxmemory-clients": total}
    if "normal 0 0 0" in limits and total == "0":
        return fail(
            "nothing limits what waits for a slow reader",
            evidence,
            "set maxmemory-clients, and a limit for normal clients",
        )
    return ok("what waits for a slow reader is limited", evidence)


@rule(
    "connection-churn",
    title="Do clients keep their connections?",
    severity="warning",
    needs=("snapshots",),
    why="a connection for each message costs more than the message, and its handshakes take the "
    "server's time from others",
    remedy=Remedy(
        redis_conf="none: the service keeps one pool for each process, made once",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO total_connections_received, less those that connected_clients grew by, over "
    "total_commands_processed in the window; a tenth is an assumption",
)
def connection_churn(run: Run) -> Judgement:
    """Fails when 100 connections were given up, over one a second and one in ten commands."""
    look = Look(run)
    new, commands = look.grown("total_connections_received"), look.grown("total_commands_processed")
    # Those that stayed are a pool that was filled, as after a deployment.
    stayed = max(0.0, look.grown("connected_clients"))
    gone = max(0.0, new - stayed)
    evidence = {
        "new connections": f"{new:,.0f}",
        "of these gone again": f"{gone:,.0f}",
        "commands": f"{commands:,.0f}",
    }
    says = f"{gone:,.0f} connections were made and given up for {commands:,.0f} commands"
    # A health check makes one each few seconds.
    often = gone >= _CHURN_MIN and gone / look.window_s > _CHURN_PER_S_MIN
    if often and gone > CONNECTIONS_PER_COMMAND_MAX * commands:
        return fail(says, evidence, "one pool for each process, made when it starts")
    return ok(says, evidence)


@rule(
    "dropped-clients",
    title="Did the server cut no client off for its buffers?",
    severity="info",
    needs=("snapshots",),
    why="a client that was cut off does not know what became of its last command",
    remedy=Remedy.directives("client-output-buffer-limit pubsub 64mb 16mb 60"),
    source="INFO evicted_clients; client_output_buffer_limit_disconnections, which Valkey "
    "has alone",
)
def dropped_clients(run: Run) -> Judgement:
    """Fails when clients were evicted or cut off in the window."""
    look = Look(run)
    evicted = look.grown("evicted_clients")
    name = "client_output_buffer_limit_disconnections"
    cut = look.grown(name) if name in look.last.info else None
    evidence = {
        "evicted": f"{evicted:.0f}",
        "cut off at a limit": "this server does not say" if cut is None else f"{cut:.0f}",
    }
    if evicted or cut:
        return fail(
            "clients were cut off for what waited for them",
            evidence,
            "CLIENT LIST tells who reads slowly, by omem",
        )
    return ok("no client was seen to be cut off", evidence)


@rule(
    "client-pool",
    title="Did turns find a free connection?",
    severity="warning",
    needs=("operations", "generator"),
    why="a turn that waits for a connection makes a person wait although the server is free",
    remedy=Remedy(
        redis_conf="maxclients above all pools together",
        compose="none: the service's pool, such as connect(url, max_connections=50)",
        ecs="as in compose; pools × tasks under maxclients",
    ),
    source="turns of the run that waited for a free slot or connection, second by second; a tenth "
    "of the seconds is an assumption",
)
def client_pool(run: Run) -> Judgement:
    """Fails when turns waited for a free connection in over a tenth of the seconds."""
    seconds = run.generator[run.generator["elapsed_s"].between(0, run.measured_s + 1)]
    if len(seconds) < 3:
        return unknown("fewer than three seconds were measured", "lengthen the measured phase")
    pool = int(run.manifest.experiment.get("pool") or 0)
    waited = seconds["turns_waiting"] > 0
    if pool:  # more at work than it has connections
        waited |= seconds["slots_busy"] > pool
    slots = run.manifest.experiment.get("users")
    queue_us = percentiles_us(run.measured_turns, "queue_us")["p99"]
    evidence = {
        "connections": str(pool or slots or "unknown"),
        "busy at most": f"{int(seconds['slots_busy'].max()):,}",
        "waiting at most": f"{int(seconds['turns_waiting'].max()):,}",
        "seconds with some waiting": format_share(float(waited.mean())),
        "waiting, p99": format_duration(queue_us / 1e6),
    }
    if run.manifest.experiment.get("closed_loop"):
        return not_applicable("in a closed loop nobody waits: nothing is sent while all are busy")
    if float(waited.mean()) > _WAITING_SHARE_MAX:
        return fail(
            f"turns waited for a free connection in {format_share(float(waited.mean()))} of the "
            "seconds",
            evidence,
            "a larger pool; or a shorter hold of each connection: no call to an API while one is "
            "held",
        )
    return ok("hardly a turn waited for a free connection", evidence)
