"""
Client buffers: do clients that do not read their replies evict conversations?

The cap counts the buffers of ordinary clients. Those of replicas it leaves out for the most part,
and a server with replicas is never loaded, so they are left out here as well.
"""

import pandas as pd

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_share

__all__ = ["client_buffers"]

_SHARE_MAX = 0.10
# An ordinary connection takes memory too: at a small cap many of them are more than a tenth.
# 50 busy ones of the demonstration took 25 KiB each, and 38 KiB at most (Redis 7.0.15).
_CONNECTION_BYTES = 64 * 1024
# The server counts each client's memory anew once a second (clientsCron in server.c), and evicts
# at once: keys may go up to so much before the buffers show.
_COUNTED_LATE_S = 1.0

_ADVICE = (
    "in redis.conf, or as flags in compose and in the task definition on ECS: maxmemory-clients "
    "5%, and a limit for normal clients such as client-output-buffer-limit normal 32mb 8mb 60; "
    "then find who asks for so much, or reads so slowly: CLIENT LIST, omem and qbuf"
)


@rule(
    "client-buffers",
    title="Do clients' buffers take the memory of conversations?",
    severity="critical",
    needs=("samples",),
    why="clients that do not read take memory from conversations: 8 of them once had 26 % of "
    "all keys evicted",
    remedy=Remedy(
        redis_conf="maxmemory-clients 5%; client-output-buffer-limit normal 32mb 8mb 60",
        compose="command: redis-server … --maxmemory-clients 5% --client-output-buffer-limit "
        '"normal 32mb 8mb 60"',
        ecs="the same flags, a word each, in command",
    ),
    source="INFO mem_clients_normal against maxmemory and evicted_keys; evict.c of Redis 7.0.15; "
    "the limit of 10 % is an assumption",
)
def client_buffers(run: Run) -> Judgement:
    """Fails when keys were evicted while buffers, beyond 64 KiB a client, took 10 % of the cap."""
    samples = run.samples
    cap = samples["maxmemory"].max()
    if cap == 0:
        return not_applicable("the server has no maxmemory, so buffers evict nothing")
    buffers = samples["mem_clients_normal"]
    if pd.isna(cap) or buffers.isna().all() or samples["evicted_keys"].isna().all():
        return unknown(
            "the server does not tell its cap, its clients' buffers or its evictions",
            "ask its INFO for maxmemory, mem_clients_normal and evicted_keys",
        )
    ordinary = _CONNECTION_BYTES * samples["connected_clients"].fillna(0)
    beyond = ((buffers - ordinary) / cap).clip(lower=0)
    large = beyond > _SHARE_MAX
    # What is new in a sample came after the one before it, and so may the buffers have.
    new = samples["evicted_keys"].diff().clip(lower=0)
    at_s = samples["unix_s"]
    grown_since_s = (at_s.shift() - _COUNTED_LATE_S).where(large).bfill()
    evicted = int(new[(at_s > grown_since_s) | large.shift(fill_value=False)].sum())
    most = format_share(float((buffers / cap).max()))
    rest = format_share(float(beyond.max()))
    evidence = {
        "most held by clients": f"{format_bytes(float(buffers.max()))} ({most} of the cap)",
        "of that beyond 64 KiB a client": f"{rest} of the cap",
        "evicted while it was over 10 %": f"{evicted:,}",
    }
    if not large.any():
        return ok(
            f"clients held {most} of the cap at most, and {rest} beyond 64 KiB each", evidence
        )
    # Valkey 9.1.2 counts for each client the values that clients share, 8 of them 8 times.
    if (samples["used_memory_overhead"] > samples["used_memory"])[large].any():
        return unknown(
            "the server says that its overhead is larger than all its memory, so what it says of "
            "buffers does not hold",
            "see the chart of evictions: do they begin when the clients come?",
            evidence,
        )
    if evicted:
        return fail(
            f"clients' buffers took up to {most} of the cap, and {format_count(evicted, 'key')} "
            "had to make room meanwhile",
            evidence,
            _ADVICE,
        )
    return ok(
        f"clients' buffers took up to {most} of the cap, and nothing was evicted meanwhile",
        evidence,
        f"before the cap is reached, {_ADVICE}",
    )
