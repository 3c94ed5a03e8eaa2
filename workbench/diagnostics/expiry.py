"""Expiry: do conversations go when their time is over, and not all at once?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.diagnostics.limits import EXPIRING_AT_ONCE_SHARE_MAX, STALE_PERCENT_MAX
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import format_duration, format_share

__all__ = ["expire_hz", "expire_lag", "expiry_cliff"]

_KEYS_MIN = 50
_EXPIRES_MIN = 1000
_AT_ONCE_MIN = 500
_LIFE_S_MIN = 15.0
_HZ_MIN = 10


@rule(
    "expire-lag",
    title="Does what has expired leave memory soon?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="finished conversations that stay in memory have live ones evicted",
    remedy=Remedy.directives("active-expire-effort 4", "hz 20"),
    source="INFO expired_stale_perc and expired_time_cap_reached_count; the expiry cycle stops "
    "below a tenth; Redis latency guide",
)
def expire_lag(run: Run) -> Judgement:
    """Fails when over 10 % of 1,000 keys or more had expired, or the cycle ran out of time."""
    look = Look(run)
    stale = look.number("expired_stale_perc")
    cut_off = look.grown("expired_time_cap_reached_count")
    evidence = {"expired, and still there": f"{stale:.1f} %", "cycles cut off": f"{cut_off:.0f}"}
    expires = look.keys_with_ttl
    evidence["keys with a time to live"] = f"{expires:,}"
    if expires < _EXPIRES_MIN and not cut_off:
        return ok("too few keys have a time to live for it to matter", evidence)
    if stale > STALE_PERCENT_MAX:
        return fail(
            f"about {stale:.1f} % of keys with a time to live have expired, and are still there",
            evidence,
            "let the server look for them more: active-expire-effort, hz",
        )
    if cut_off > 0:
        return fail(
            f"{cut_off:.0f} rounds of expiry ran out of their time: more expires than is removed",
            evidence,
            "let the server look for them more: active-expire-effort, hz; spread the times to live",
        )
    return ok("what has expired leaves memory soon", evidence)


@rule(
    "expiry-cliff",
    title="Do conversations expire spread over time?",
    severity="warning",
    needs=("snapshots",),
    why="while hundreds of keys expire within a second, messages wait for it",
    remedy=Remedy(
        redis_conf="none: the service adds some seconds at random to EX",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="PTTL of sampled keys; a quarter is where the expiry cycle begins again at once; Redis "
    "latency guide",
)
def expiry_cliff(run: Run) -> Judgement:
    """Fails when over a quarter of the keys of a prefix, and 500 or more, expire in one second."""
    look = Look(run)
    look.only_sampled("an experiment writes its first conversations all at once")
    counted = [
        (of.expiring_in_one_s_share, prefix, of)
        for prefix, of in look.keys().items()
        if of.expiring_in_one_s_share is not None
        and of.keys - of.without_ttl >= _KEYS_MIN
        and (of.ttl_s_p50 or 0.0) >= _LIFE_S_MIN
    ]
    if not counted:
        return not_applicable("fewer than 50 keys with a longer time to live were looked at")
    share, prefix, of = max(counted, key=lambda each: each[0])
    evidence = {
        "keys with a time to live": f"{of.keys - of.without_ttl:,}",
        "most within one second": format_share(share),
        "prefix": prefix,
        "median time to live left": format_duration(of.ttl_s_p50 or 0.0),
    }
    at_once = share * look.keys_with_ttl * _share_of(prefix, look)
    evidence["of all keys, about"] = f"{at_once:,.0f}"
    if share > EXPIRING_AT_ONCE_SHARE_MAX and at_once >= _AT_ONCE_MIN:
        return fail(
            f"{format_share(share)} of the keys of {prefix} expire within one second",
            evidence,
            "add some seconds at random to each time to live",
        )
    return ok(f"at most {format_share(share)} of the keys expire within one second", evidence)


def _share_of(prefix: str, look: Look) -> float:
    """The share that a prefix has of the sampled keys with a time to live."""
    counts = {name: of.keys - of.without_ttl for name, of in look.keys().items()}
    return counts[prefix] / max(1, sum(counts.values()))


@rule(
    "expire-hz",
    title="Does the server look for expired keys as often as it should?",
    severity="info",
    needs=("snapshots",),
    why="below 10 Hz finished conversations stay in memory longer",
    remedy=Remedy.directives("hz 10"),
    source="CONFIG hz; redis.conf of Redis 7.0",
)
def expire_hz(run: Run) -> Judgement:
    """Fails when hz is under 10."""
    look = Look(run)
    hz = int(look.setting("hz"))
    dynamic = look.last.config.get("dynamic-hz")  # Valkey has none
    evidence = {"hz": str(hz), "dynamic-hz": dynamic or "no such setting"}
    if hz < _HZ_MIN:
        return fail(f"hz is {hz}", evidence, "the default is right")
    return ok(f"hz is {hz}", evidence)
