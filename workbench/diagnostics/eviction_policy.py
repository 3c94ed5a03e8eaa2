"""Eviction policy: who has to go when the cap is reached, and does anybody have to now?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.limits import FULL_SHARE, SESSION_TIMEOUT_S
from workbench.diagnostics.look import Look
from workbench.diagnostics.memory_bounds import MORE_MEMORY
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_share

__all__ = [
    "age_at_eviction",
    "evicted_not_expired",
    "evictions",
    "lazy_free",
    "refuses_when_full",
    "volatile_without_ttl",
]

_VOLATILE_SHARE_MIN = 0.1
_WINDOW_S_MIN = 30.0
_EVICTION_DEL_MS_MAX = 5
_KEYS_MIN = 100


def _totals(look: Look) -> tuple[int, int]:
    """Keys, and those of them that have a time to live."""
    databases = [
        values
        for name, values in look.last.info.items()
        if name.startswith("db") and name[2:].isdigit()
    ]
    return sum(each["keys"] for each in databases), sum(each["expires"] for each in databases)


@rule(
    "evictions",
    title="Does the cap leave every conversation alone?",
    severity="critical",
    needs=("snapshots",),
    why="this is a store and no cache: whatever is evicted is somebody's conversation",
    remedy=MORE_MEMORY,
    source="INFO evicted_keys over the window, maxmemory_policy; Redis eviction guide",
)
def evictions(run: Run) -> Judgement:
    """Fails when keys were evicted in the window."""
    look = Look(run)
    look.only_sampled("turns tell whose conversation was evicted: see live-state-evicted")
    policy = str(look.value("maxmemory_policy"))
    evicted = int(look.grown("evicted_keys"))
    ever = int(look.number("evicted_keys"))
    evidence = {
        "evicted in the window": f"{evicted:,}",
        "since the server's start": f"{ever:,}",
        "policy": policy,
        "window": format_duration(look.window_s),
    }
    if evicted:
        return fail(
            f"{format_count(evicted, 'key')} were evicted in {format_duration(look.window_s)}",
            evidence,
            "raise maxmemory, or shorten the time to live, until nothing is evicted; where every "
            "key has one, volatile-ttl takes those first that would have gone soonest",
        )
    advice = "keys were evicted before: see evicted_keys over a longer time" if ever else ""
    return ok("nothing was evicted in the window", evidence, advice)


@rule(
    "age-at-eviction",
    title="Are conversations kept for as long as people pause?",
    severity="warning",
    needs=("snapshots",),
    why="a person who pauses for less than the session timeout finds the conversation gone",
    remedy=MORE_MEMORY,
    source="idle time of sampled keys (OBJECT IDLETIME): under an LRU policy the oldest that are "
    "left are about as old as those that go; 300 s is the documented time to live",
)
def age_at_eviction(run: Run) -> Judgement:
    """Fails when an LRU policy evicts, and 0.9 of those left were used in the last 300 s."""
    look = Look(run)
    policy = str(look.value("maxmemory_policy"))
    if not policy.endswith("-lru"):
        return not_applicable(f"under {policy} it is not the idle time that decides")
    look.only_sampled(
        "turns tell after which pauses conversations are lost: see live-state-evicted"
    )
    if not look.grown("evicted_keys"):
        return not_applicable("nothing was evicted in the window")
    known = [of for of in look.keys().values() if of.idle_s_p90 is not None]
    if not known:
        return unknown(
            "keys do not tell how long they were idle",
            "see the ledger: workbench sample --keyspace-events",
        )
    largest = max(known, key=lambda of: of.keys)
    oldest_s = largest.idle_s_p90 or 0.0
    evidence = {
        "keys looked at": f"{largest.keys:,}",
        "idle, 90th percentile": format_duration(oldest_s),
        "session timeout": format_duration(SESSION_TIMEOUT_S),
    }
    if oldest_s < SESSION_TIMEOUT_S:
        return fail(
            f"keys are evicted, and nine in ten of those left were used in the last "
            f"{format_duration(oldest_s)}",
            evidence,
            "raise the cap until conversations stay as long as people pause",
        )
    return ok("what is evicted was idle for longer than a session lasts", evidence)


@rule(
    "evicted-not-expired",
    title="Do conversations leave by their time to live?",
    severity="warning",
    needs=("snapshots",),
    why="where more is evicted than expires, memory decides who loses a conversation, and not time",
    remedy=MORE_MEMORY,
    source="INFO evicted_keys against expired_keys over the window; that the time to live defines "
    "the working set: Yang and others, OSDI 2020",
)
def evicted_not_expired(run: Run) -> Judgement:
    """Fails when more keys were evicted than expired, and keys have a time to live."""
    look = Look(run)
    look.only_sampled("an experiment is shorter than a time to live")
    evicted, expired = look.grown("evicted_keys"), look.grown("expired_keys")
    if not evicted:
        return not_applicable("nothing was evicted in the window")
    if look.window_s < _WINDOW_S_MIN:
        return unknown("the window is too short to compare", "look for 30 s or more, by --for 60s")
    evidence = {"evicted": f"{evicted:,.0f}", "expired": f"{expired:,.0f}"}
    if not _totals(look)[1]:
        return not_applicable("no key has a time to live: see keys-without-ttl")
    if evicted > expired:
        return fail(
            f"{evicted:,.0f} keys were evicted, and {expired:,.0f} expired",
            evidence,
            "a shorter time to live, or more memory",
        )
    return ok(f"{expired:,.0f} keys expired, and {evicted:,.0f} were evicted", evidence)


@rule(
    "volatile-without-ttl",
    title="Is there anything that a volatile policy may evict?",
    severity="critical",
    needs=("snapshots",),
    why="when nothing may be evicted every write is refused, and every conversation stands still",
    remedy=Remedy.directives("maxmemory-policy allkeys-lru"),
    source="INFO keyspace, maxmemory_policy, errorstat_OOM; Redis eviction guide; a tenth is an "
    "assumption",
)
def volatile_without_ttl(run: Run) -> Judgement:
    """Fails when a volatile policy finds no time to live, or when full on under a tenth of keys."""
    look = Look(run)
    policy = str(look.value("maxmemory_policy"))
    if not policy.startswith("volatile-"):
        return not_applicable(f"the policy is {policy}")
    if not look.number("maxmemory"):
        return not_applicable("the server has no maxmemory: see no-maxmemory")
    keys, expires = _totals(look)
    full = look.number("used_memory") >= FULL_SHARE * look.number("maxmemory")
    refused = int(look.grown_in("errorstat_", "count").get("OOM", 0)) if look.window_s else 0
    evidence = {
        "policy": policy,
        "keys": f"{keys:,}",
        "with a time to live": f"{expires:,}",
        "writes refused in the window": f"{refused:,}",
    }
    few = not expires or (full and expires < _VOLATILE_SHARE_MIN * keys)
    if refused or (keys >= _KEYS_MIN and few):
        return fail(
            f"{expires:,} of {format_count(keys, 'key')} may be evicted under {policy}"
            + (f", and {refused:,} writes were refused" if refused else ""),
            evidence,
            "SET … EX with every conversation; allkeys-lru only if every key may be evicted",
        )
    if keys < _KEYS_MIN:
        return ok("there are too few keys for it to matter", evidence)
    return ok(f"{format_share(expires / keys)} of the keys may be evicted", evidence)


@rule(
    "refuses-when-full",
    title="Is a server that refuses writes when it is full far from full?",
    severity="critical",
    needs=("snapshots",),
    why="under noeviction a full server refuses every write: nobody's conversation goes on",
    remedy=MORE_MEMORY,
    source="INFO maxmemory_policy, used_memory, errorstat_OOM; Redis eviction guide",
)
def refuses_when_full(run: Run) -> Judgement:
    """Fails when the policy is noeviction, and 0.9 of the cap are used."""
    look = Look(run)
    policy, cap = str(look.value("maxmemory_policy")), look.number("maxmemory")
    if policy != "noeviction" or not cap:
        return not_applicable(f"the policy is {policy}" if cap else "the server has no maxmemory")
    used = look.number("used_memory")
    refused = int(look.last.info.get("errorstat_OOM", {}).get("count", 0))
    evidence = {
        "used": f"{format_bytes(used)} ({format_share(used / cap)})",
        "writes refused": f"{refused:,}",
    }
    if used > FULL_SHARE * cap:
        return fail(
            f"{format_share(used / cap)} of the cap are used, and then writes are refused",
            evidence,
            "raise the cap now; an honest refusal is better than a silent loss, with an "
            "alert on it",
        )
    return ok(f"{format_share(used / cap)} of the cap are used", evidence)


@rule(
    "lazy-free",
    title="Does freeing an evicted value hold nobody up?",
    severity="info",
    needs=("snapshots",),
    why="a large value is freed while everybody waits",
    remedy=Remedy.directives("lazyfree-lazy-eviction yes", "lazyfree-lazy-expire yes"),
    source="CONFIG lazyfree-lazy-eviction; LATENCY event eviction-del over 5 ms (LATENCY DOCTOR)",
)
def lazy_free(run: Run) -> Judgement:
    """Fails when values are freed at once, and freeing one took over 5 ms."""
    look = Look(run)
    if look.on("lazyfree-lazy-eviction"):
        return ok("evicted values are freed in the background", {"lazyfree-lazy-eviction": "yes"})
    event = look.last.latency.get("eviction-del")
    evidence = {
        "lazyfree-lazy-eviction": "no",
        "longest eviction-del": f"{event.max_ms} ms" if event else "none seen",
    }
    if event and event.max_ms > _EVICTION_DEL_MS_MAX:
        return fail(
            "freeing evicted values holds commands up",
            evidence,
            "free hashes, lists and sets in the background; a string is freed at once anyway",
        )
    return ok("freeing evicted values was not seen to hold anything up", evidence)
