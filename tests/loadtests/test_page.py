"""The page on Locust's web UI: over HTTP and in a real browser, of a real Locust."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import HTTPCookieProcessor, build_opener

import numpy as np
import psutil
import pytest
from matplotlib import image

from tests.capabilities import chromium
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PORT = "--web-port"

pytestmark = [pytest.mark.whole_command, pytest.mark.quiet]


class Locust:
    """One with a web UI, and how to ask it."""

    def __init__(self, process, port, log):
        self.process, self.log = process, log
        self.url = f"http://127.0.0.1:{port}"
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def text(self, path):
        """The body of the answer, and where it was found in the end."""
        with self._opener.open(self.url + path, timeout=10) as answer:
            return answer.read().decode(), answer.url.removeprefix(self.url)

    def data(self, query=""):
        return json.loads(self.text(f"/redis/data{query}")[0])

    def turns(self):
        """Of the measured phase, so far."""
        figures = self.data()["load"]["figures"]
        return figures["turns"] if figures else 0

    def is_up(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.text("/")
        except HTTPError:  # it answers, though under another path
            return True
        except URLError:
            return False

    def end(self):
        """As Ctrl-C does; what it printed."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        return self.log.read_text()


@contextmanager
def locust(url, folder, *options, scenario="loadtests/steady.py", measure_s=120):
    """Start a Locust whose web UI has begun a load; it and its workers end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "locust", "-f", scenario, "--web-host", "127.0.0.1", PORT, port]
    words += ["-u", 20, "-r", 20, "--autostart", "--rate", 150, "--warm-up-s", 0.5]
    words += ["--measure-s", measure_s, "--seed", 5, "--away-share", 0]
    log = folder / "locust.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(word) for word in (*words, *options)],
            cwd=ROOT,
            env={**os.environ, "REDIS_STATE_URL": url, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    running = Locust(process, port, log)
    try:
        wait_until(running.is_up, timeout_s=30, why="the web UI answers")
        yield running
    finally:
        family = (
            [process, *psutil.Process(process.pid).children()] if process.poll() is None else []
        )
        for each in family:
            each.kill()
        process.wait(timeout=10)


def emptied(server):
    """Its URL, with nothing in it."""
    with server.client() as client:
        client.flushall()
        client.config_resetstat()
    return server.url


def two_workers():
    """Locust's options for them, at a port of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ["--processes", 2, "--master-bind-port", port, "--master-port", port]


def browser(folder, url, *options):
    """Have Chromium open the page, and wait until it has shown some answers."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    words += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    words += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2500"]
    return subprocess.run(
        [chromium(), *words, *options, url], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def shown(folder, url):
    """What a person reads on the page."""
    dom = browser(folder, url, "--dump-dom").partition("<main>")[2].partition("<script>")[0]
    return " ".join(re.sub("<[^>]*>", " ", dom).split())


@pytest.fixture(scope="module")
def running(redis_server, tmp_path_factory):
    """A load that goes on, with some hundred turns measured."""
    with locust(emptied(redis_server), tmp_path_factory.mktemp("page")) as found:
        wait_until(lambda: found.turns() > 300, timeout_s=30, why="300 turns")
        yield found


def test_data_tell_what_the_server_says(running, redis_server):
    """INFO's own numbers, once a second, the newest last."""
    # Locust's rate is a mean that leaves out the last two seconds.
    wait_until(lambda: running.data()["points"][-1]["turns_per_s"], timeout_s=15, why="a rate")
    told = running.data()
    points, now = told["points"], told["points"][-1]

    with redis_server.client() as client:
        maxmemory = int(client.config_get("maxmemory")["maxmemory"])

    assert told["server"]["answers"]
    assert told["server"]["url"] == redis_server.url
    assert [point["number"] for point in points] == list(range(len(points)))
    assert 0 < now["used_memory"] <= 1.2 * maxmemory
    assert now["maxmemory"] == maxmemory
    assert now["evicted_keys_per_s"] >= 0
    assert now["expired_keys_per_s"] >= 0
    assert now["aof_current_size"] >= now["aof_base_size"] >= 0
    assert now["turns_per_s"] > 0


def test_data_tell_the_figures_so_far(running):
    """Of the measured phase: all turns by outcome, and the four clocks from the intended start."""
    load = running.data()["load"]
    figures = load["figures"]

    assert load["loop"] == "open"
    assert load["latency_from"] == "the intended start"
    assert 0 < figures["measured_s"] < load["measure_s"]
    assert sum(figures["outcomes"].values()) == figures["turns"]
    assert sum(figures["lost"].values()) <= figures["needed_state"] < figures["turns"]
    assert 0 < figures["delivered_share"] <= 1
    assert list(figures["clocks"]) == ["response_us", "queue_us", "lag_us", "service_us"]
    for clock in figures["clocks"].values():
        assert clock["p50"] <= clock["p95"] <= clock["p99"]


def test_points_that_are_known_are_not_told_again(running):
    """Nor is a page left blank that knows more points than there are: Locust was started anew."""
    known = running.data()["points"][-2]["number"]

    assert running.data(f"?since={known}")["points"][0]["number"] == known + 1
    assert running.data("?since=1000000")["points"][0]["number"] == 0


def test_locusts_own_page_leads_to_ours(running):
    """By a link, and ours leads back."""
    own, ours = running.text("/")[0], running.text("/redis")[0]

    assert 'href="/redis"' in own
    assert 'href="./"' in ours


def test_page_asks_nobody_but_locust(running):
    """It works without a network: nothing in it names another place."""
    page = running.text("/redis")[0]

    assert set(re.findall(r"https?://[^\"'\s<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert not re.search(r"<(link|script|img)[^>]+(src|href)=\"(?!data:,)", page)


@pytest.mark.capability("chromium")
def test_page_shows_server_and_figures_in_a_browser(running, redis_server, tmp_path):
    """With their units, and no figure unknown after some hundred turns."""
    text = shown(tmp_path, f"{running.url}/redis")

    assert f"answers {redis_server.url}" in text
    assert "open loop, 150 turns/s asked for: running" in text
    assert re.search(r"used_memory [\d.]+ MiB of 20 MiB maxmemory", text), text
    assert re.search(r"evicted_keys [\d,]+ [\d.]+/s", text), text
    assert re.search(r"AOF rewrites [\d,]+ (none|one) in progress", text), text
    assert re.search(r"delivered of due [\d.> ]+ % \d+ overdue", text), text
    for clock in ("response, from the intended start", "queue", "lag", "service"):
        assert re.search(clock + r"( [\d.]+ (µs|ms|s)){3}", text), text
    for title in ("Memory, MiB", "Evicted and expired, keys/s", "turns/s", "Append-only file, "):
        assert title in text
    assert "closed" not in text


@pytest.mark.capability("chromium")
def test_page_is_drawn_in_light_and_in_dark(running, tmp_path):
    """Neither is blank, and the browser's setting decides which it is."""
    ground = {}
    for name, scheme in (("light", 1), ("dark", 0)):
        path = tmp_path / f"{name}.png"
        options = [f"--screenshot={path}", "--window-size=1280,1150"]
        options += [f"--blink-settings=preferredColorScheme={scheme}"]
        browser(tmp_path, f"{running.url}/redis", *options)
        pixels = image.imread(path)[..., :3]
        colours = Counter(map(bytes, (255 * pixels[::4, ::4].reshape(-1, 3)).astype(np.uint8)))
        ground[name] = np.mean(list(colours.most_common(1)[0][0]))
        assert len(colours) > 30

    assert ground["dark"] < 50
    assert ground["light"] > 200


@pytest.mark.capability("chromium")
def test_closed_loop_is_labelled_where_its_latency_is_shown(redis_server, tmp_path):
    """Its response is that from the send, and nothing on the page says otherwise."""
    options = ["--closed-loop", "--think-median-s", 0.1, "--think-p95-s", 0.2]
    with locust(emptied(redis_server), tmp_path, *options) as found:
        wait_until(lambda: found.turns() > 100, timeout_s=30, why="100 turns")
        load, text = found.data()["load"], shown(tmp_path, f"{found.url}/redis")

    assert (load["loop"], load["latency_from"]) == ("closed", "the send")
    assert load["asked_turns_per_s"] is None
    assert "Latency of the measured phase so far: closed loop" in text
    assert "response, from the send" in text
    assert "intended start" not in text
    assert "turns/s asked" not in text


def test_login_of_locust_guards_the_page_and_no_password_is_on_it(start_server, tmp_path):
    """Whoever is not let in is led to Locust's login; nobody sees how Redis is logged in to."""
    server = start_server()
    with server.client() as client:
        rights = {"categories": ["+@all"], "keys": ["*"], "channels": ["*"]}
        client.acl_setuser("loader", enabled=True, passwords=["+hunter2"], **rights)
    url = server.url.replace("redis://", "redis://loader:hunter2@")
    options = ["--web-login", "--web-base-path", "/load"]

    with locust(url, tmp_path, *options, scenario="tests/loadtests/guarded.py") as found:
        outside = [found.text(path) for path in ("/load/redis", "/load/redis/data")]
        found.text("/let-me-in")
        inside = [found.text(path) for path in ("/load/redis", "/load/redis/data", "/load/")]
        log = found.log.read_text()

    assert all(where.startswith("/load/login?") for _, where in outside)
    assert not any("used_memory" in body for body, _ in outside)
    assert [where for _, where in inside] == ["/load/redis", "/load/redis/data", "/load/"]
    assert json.loads(inside[1][0])["server"]["answers"]
    assert 'href="/load/redis"' in inside[2][0]
    assert "hunter2" not in "".join([log, *(body for body, _ in (*outside, *inside[:2]))])


@pytest.mark.slow
@pytest.mark.capability("chromium")
def test_server_that_does_not_answer_is_shown_so_and_the_load_goes_on(start_server, tmp_path):
    """It is said why, the charts have a gap, the log stays short; and then it answers again."""
    server = start_server()
    with locust(server.url, tmp_path) as found:
        wait_until(lambda: found.turns() > 100, timeout_s=30, why="100 turns")
        lines = len(found.log.read_text().splitlines())
        os.kill(server.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not found.data()["server"]["answers"], timeout_s=10, why="a gap")
            stopped, text = found.data(), shown(tmp_path, f"{found.url}/redis")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: found.data()["server"]["answers"], timeout_s=10, why="an answer")
        turns = found.turns()
        wait_until(lambda: found.turns() > turns, timeout_s=10, why="further turns")
        after = found.data()
        more = len(found.log.read_text().splitlines()) - lines

    assert "Timeout" in stopped["server"]["why"]
    assert stopped["points"][-1]["used_memory"] is None
    assert "unreachable" in text
    assert after["load"]["state"] == "running"
    assert {point["answers"] for point in after["points"]} == {True, False}
    assert more == 0


def test_server_that_is_gone_is_unreachable_and_ends_nothing(start_server, tmp_path):
    """Refused connections are turns that failed; Locust and its page stay."""
    server = start_server()
    with locust(server.url, tmp_path) as found:
        wait_until(lambda: found.turns() > 100, timeout_s=30, why="100 turns")
        os.kill(server.pid, signal.SIGKILL)
        # The first look after its end may find the connection reset.
        wait_until(
            lambda: "refused" in (found.data()["server"]["why"] or ""),
            timeout_s=10,
            why="a refusal",
        )
        turns = found.turns()
        wait_until(lambda: found.turns() > turns, timeout_s=10, why="further turns")
        told, log = found.data(), found.log.read_text()

    assert not told["server"]["answers"]
    assert "refused" in told["server"]["why"]
    assert told["load"]["state"] == "running"
    assert "Traceback" not in log


def test_master_shows_what_its_workers_have_counted_so_far(redis_server, tmp_path):
    """And at the end the figures are those of all their turns, as the master prints them."""
    options = [*two_workers(), "--expect-workers", 2]
    scenario = "tests/loadtests/counted.py"
    with locust(emptied(redis_server), tmp_path, *options, scenario=scenario, measure_s=8) as found:
        wait_until(lambda: found.turns() > 0, timeout_s=30, why="a report")
        early = found.data()["load"]
        wait_until(lambda: found.data()["load"]["state"] == "stopped", timeout_s=40, why="the end")
        late = found.data()["load"]
        talk = found.end()

    assert early["state"] == "running"
    assert early["figures"]["processes"] <= late["figures"]["processes"] == 2
    assert early["figures"]["turns"] < late["figures"]["turns"]
    assert late["workers_lost"] == []
    assert f": {late['figures']['turns']:,} turns in 8 s measured" in talk
    told, size = map(int, re.search(r"(\d+) told figures, (\d+) bytes", talk).groups())
    assert told >= 2
    assert size < 100_000


@pytest.mark.slow
@pytest.mark.capability("chromium")
def test_worker_that_is_lost_is_told_at_once(redis_server, tmp_path):
    """Its part is gone, so the page says that the figures do not hold; the others go on."""
    with locust(emptied(redis_server), tmp_path, *two_workers()) as found:
        wait_until(lambda: found.turns() > 0, timeout_s=30, why="a report")
        psutil.Process(found.process.pid).children()[0].kill()
        wait_until(lambda: found.data()["load"]["workers_lost"], timeout_s=30, why="the loss")
        turns = found.turns()
        wait_until(lambda: found.turns() > turns, timeout_s=20, why="further turns")
        load, text = found.data()["load"], shown(tmp_path, f"{found.url}/redis")

    assert re.fullmatch(r"load worker \d of 2", *load["workers_lost"])
    assert f"{load['workers_lost'][0]} lost: the figures do not hold" in text


@pytest.mark.slow
def test_workers_tell_nothing_so_far_where_there_is_no_page(redis_server, tmp_path):
    """The reports of a headless load hold Locust's own statistics alone."""
    words = ["--headless", "--only-summary", "-f", "tests/loadtests/counted.py", "-u", 20, "-r", 20]
    words += ["--rate", 150, "--warm-up-s", 0.5, "--measure-s", 5, "--seed", 5, *two_workers()]
    done = subprocess.run(
        [sys.executable, "-m", "locust", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "REDIS_STATE_URL": emptied(redis_server), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    reports, told = map(int, re.search(r"(\d+) reports, (\d+) told", done.stdout).groups())

    assert reports > 2
    assert told == 0
    assert "2 processes" in done.stdout
