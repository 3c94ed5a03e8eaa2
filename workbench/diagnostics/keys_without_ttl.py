"""Keys without TTL: does every conversation leave some day?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_share

__all__ = ["keys_without_ttl"]

_SHARE_MAX = 0.05
_KEYS_LEAST = 100


@rule(
    "keys-without-ttl",
    title="Does every conversation have a time to live?",
    severity="warning",
    needs=("samples",),
    why="conversations that never expire fill the cap, and then live ones are evicted for them",
    remedy=Remedy(
        redis_conf="none: the service sets it, SET … EX with every write; "
        "maxmemory-policy allkeys-lru lets them be evicted at least",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO keyspace; the limit of 5 % is an assumption",
    # Whether a write gives a time to live does not depend on how many writes there are.
    holds_if_late=True,
)
def keys_without_ttl(run: Run) -> Judgement:
    """Fails when over 5 % of the keys have no time to live."""
    counted = run.samples[["keys", "expires"]].dropna()
    keys, expires = (0, 0) if counted.empty else map(int, counted.iloc[-1])
    if keys < _KEYS_LEAST:
        return unknown(
            "the server does not count its keys"
            if counted.empty
            else f"fewer than {_KEYS_LEAST} keys were left at the end",
            "lengthen the run, or raise the rate",
        )
    share = (keys - expires) / keys
    evidence = {"keys at the end": f"{keys:,}", "without a time to live": f"{keys - expires:,}"}
    if share > _SHARE_MAX:
        return fail(
            f"{format_share(share)} of the keys have no time to live",
            evidence,
            "write state by SET … EX, as workbench.state does: a plain SET takes the time to live "
            f"away. {_fate(run)}; give those that are there one by EXPIRE … NX",
        )
    return ok(
        "every key has a time to live"
        if not share
        else f"{format_share(share)} of the keys have no time to live",
        evidence,
    )


def _fate(run: Run) -> str:
    policy = run.manifest.server.get("config", {}).get("maxmemory-policy", "")
    if policy.startswith("volatile"):
        return f"Under {policy} such keys are never evicted, and fill the cap until writes fail"
    if policy.startswith("allkeys"):
        return f"Under {policy} such keys stay until they are evicted, in place of live ones"
    return "Such keys fill the memory for good"
