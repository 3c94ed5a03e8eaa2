"""
Page: Redis beside the load, on Locust's own web UI at ``/redis``; its data at ``/redis/data``.

There is one only where there is a web UI: a load without is asked nothing, and tells nobody.
"""

import json
import math
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import gevent
from flask import Blueprint, Response, request, url_for
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING
from redis.exceptions import RedisError

from loadtests.tally import CLOCKS, Tally
from workbench.state import connect, redact

__all__ = ["Page"]

_LOOK_S: Final = 1.0
_POINTS: Final = 300
_PERCENTILES: Final = ("p50", "p95", "p99")
_COUNTED: Final = ("evicted_keys", "expired_keys")
_FIELDS: Final = (
    *("used_memory", "maxmemory", *_COUNTED),
    *("aof_enabled", "aof_rewrites", "aof_rewrite_in_progress", "aof_base_size"),
    "aof_current_size",
)
# Beside what Locust's own script draws, which has no place for a link; above its footer.
_LINK: Final = (
    '<a href="{}" style="position:fixed;right:1.5rem;bottom:3.5rem;z-index:2000;'
    "padding:.4rem 1rem;border-radius:.3rem;background:#0072B2;color:#fff;"
    'font:600 14px/1.5 system-ui,sans-serif;text-decoration:none">Redis beside the load</a></body>'
)


class Page:
    """
    Looks at the server once a second, and shows it with the figures so far.

    Args:
        environment: Locust's, with a web UI and ``workbench_urls``, of which the first is asked.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        url, *others = environment.workbench_urls
        self._client = connect(url, max_connections=1, breaker=None)
        self._server: dict[str, Any] = {
            "url": redact(url) + (f" and {len(others)} more" if others else ""),
            "answers": False,
            "why": "it was not asked yet",
        }
        self._run_id = ""
        self._points: deque[dict[str, Any]] = deque(maxlen=_POINTS)
        self._began_s = time.monotonic()

    def open(self) -> None:
        """Add the page to the web UI, link it from Locust's own, and begin to look."""
        web_ui = self._environment.web_ui
        guarded = web_ui.auth_required_if_enabled  # as Locust's own pages, by --web-login
        base = self._environment.parsed_options.web_base_path
        routes = Blueprint("workbench", __name__, url_prefix=base)
        routes.add_url_rule("/redis", "page", guarded(self._page))
        routes.add_url_rule("/redis/data", "data", guarded(self._data))
        web_ui.app.register_blueprint(routes)
        web_ui.app.after_request(_linked)
        gevent.spawn(self._watch)

    def _page(self) -> Response:
        text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        return Response(text, mimetype="text/html")

    def _data(self) -> Response:
        """Server, load, and the points after number ``since``; all, if it is not known here."""
        points = list(self._points)
        since = request.args.get("since", -1, type=int)
        if points and since <= points[-1]["number"]:
            points = [point for point in points if point["number"] > since]
        told = {"server": self._server, "load": self._load(), "points": points}
        return Response(
            json.dumps(told), mimetype="application/json", headers={"Cache-Control": "no-store"}
        )

    def _watch(self) -> None:
        while True:
            self._points.append(self._point())
            gevent.sleep(_LOOK_S)

    def _point(self) -> dict[str, Any]:
        """One look: INFO's own numbers, and rates since the look before; None if not known."""
        before = self._points[-1] if self._points else None
        info = self._info()
        point: dict[str, Any] = {
            "number": before["number"] + 1 if before else 0,
            "at_s": time.monotonic() - self._began_s,
            "answers": bool(info),
            **{name: info.get(name) for name in _FIELDS},
            "turns_per_s": self._turns_per_s(),
        }
        same = before is not None and info.get("run_id") == self._run_id
        for name in _COUNTED:
            known = same and None not in (point[name], before[name])
            more = point[name] - before[name] if known else 0
            # Fewer than before: somebody reset the server's counts.
            rate = more / (point["at_s"] - before["at_s"]) if known and more >= 0 else None
            point[f"{name}_per_s"] = rate
        self._run_id = info.get("run_id", self._run_id)
        return point

    def _info(self) -> dict[str, Any]:
        """What INFO says; nothing, if the server does not answer."""
        try:
            info = self._client.info("server", "memory", "stats", "persistence")
        except (RedisError, OSError) as error:
            self._server.update(answers=False, why=redact(str(error)))
            return {}
        name = info.get("server_name", "redis")
        self._server.update(
            answers=True,
            why=None,
            version=f"{name} {info.get(f'{name}_version', info.get('redis_version', ''))}",
            maxmemory_policy=info.get("maxmemory_policy"),
        )
        return info

    def _turns_per_s(self) -> float | None:
        runner = self._environment.runner
        going_on = runner.state in {STATE_SPAWNING, STATE_RUNNING}
        return runner.stats.total.current_rps if going_on else None

    def _load(self) -> dict[str, Any]:
        environment, options = self._environment, self._environment.parsed_options
        crew, load = environment.workbench_crew, environment.workbench_load
        told: dict[str, Any] = {
            "state": environment.runner.state,
            "scenario": environment.user_classes[0].__name__,
            "loop": "closed" if options.closed_loop else "open",
            "latency_from": "the send" if options.closed_loop else "the intended start",
            "asked_turns_per_s": None if options.closed_loop else options.rate,
            "measure_s": options.measure_s,
            "workers_lost": crew.missing if crew else (),
            "figures": None,
        }
        if crew and crew.began:
            told["figures"] = _figures(crew.so_far)
        elif load:
            told["figures"] = _figures(load.so_far())
        return told


def _figures(tally: Tally) -> dict[str, Any]:
    """Of the measured phase so far: counts, shares of 1, and percentiles in µs."""
    return {
        "processes": tally.processes,
        "measured_s": tally.measured_s,
        "turns": tally.turns,
        "turns_per_s": tally.turns / tally.measured_s if tally.measured_s else None,
        "overdue": tally.overdue,
        "delivered_share": tally.delivered_share if tally.turns + tally.overdue else None,
        "outcomes": dict(tally.outcomes.most_common()),
        "needed_state": tally.turns - tally.begun,
        "lost": tally.lost,
        "clocks": {
            clock: {name: _known(tally.percentile_us(clock, name)) for name in _PERCENTILES}
            for clock in CLOCKS
        },
    }


def _known(number: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(number) else number


def _linked(response: Response) -> Response:
    """Locust's own page with a link to ours; any other response as it is."""
    if request.endpoint == "locust.index" and response.mimetype == "text/html":
        link = _LINK.format(url_for("workbench.page"))
        response.set_data(response.get_data(as_text=True).replace("</body>", link))
    return response
