"""The dashboard on real servers: what it shows, what it may do, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.commands import only_run, under_load, workbench
from tests.waiting import wait_until
from workbench.diagnostics.finding import evaluate
from workbench.errors import RunError, TargetRefusedError, UsageError
from workbench.live import Dashboard, dashboard
from workbench.runs.run import open_run
from workbench.server.process import PrivateServer
from workbench.state import connect

pytestmark = pytest.mark.whole_command

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def ours(start_servers):
    """A server that these tests share, and that they started."""
    return start_servers(maxmemory_bytes=20 * MIB)


@pytest.fixture(scope="module")
def foreign(start_servers):
    """A server with somebody's key on it."""
    server = start_servers()
    with server.client() as client:
        client.set("theirs", "1")
    return server


@pytest.fixture(autouse=True)
def _shown(monkeypatch, runs_folder):
    """As in JupyterLab, and with runs of their own."""
    monkeypatch.setattr(dashboard, "widgets_shown", lambda: True)


@pytest.fixture
def watch():
    """Open a dashboard that looks often, once it has looked; it is closed in the end."""
    opened = []

    def open_one(what, *, looks=1, **options):
        found = Dashboard(what, interval_s=0.2, **options)
        opened.append(found)
        wait_until(lambda: len(found.redraw_s) >= looks, timeout_s=20, why="a look")
        return found

    yield open_one
    for each in opened:
        each.close()


def face(shown):
    return shown._face


def said(shown):
    """All that the widgets say."""
    parts = (shown._face.head, shown._face.trouble, shown._face.told, shown._face.why_not)
    return " ".join(part.value for part in parts)


def press(shown, name):
    face(shown).buttons[name].click()


def test_picture_is_drawn_again_and_again_by_one_connection(ours, watch):
    """The image changes with each look, and the server sees one client."""
    with ours.client() as client:
        before = client.info("clients")["connected_clients"]
        shown = watch(ours, looks=2)
        first = bytes(face(shown).image.value)
        wait_until(lambda: bytes(face(shown).image.value) != first, timeout_s=20)

        assert client.info("clients")["connected_clients"] == before + 1
    assert bytes(first).startswith(b"<?xml")
    assert "Memory is at" in shown._chart.title
    assert "Rules at" in face(shown).findings.value


def test_stop_ends_the_looks_and_start_begins_them_again(ours, watch):
    """Nothing asks the server in between, and what was seen is kept."""
    shown = watch(ours, looks=2)
    press(shown, "stop")
    looks = len(shown._samples)

    with ours.client() as client:
        alone = client.info("clients")["connected_clients"]
    press(shown, "start")

    assert alone == 1
    assert face(shown).buttons["start"].disabled
    wait_until(lambda: len(shown._samples) > looks, timeout_s=20)


def test_rewrite_button_has_our_own_server_rewrite_its_aof(ours, watch):
    """BGREWRITEAOF, and a sentence that says so."""
    shown = watch(ours)
    with ours.client() as client:
        before = client.info("persistence")["aof_rewrites"]
        wait_until(lambda: not face(shown).buttons["rewrite"].disabled)
        press(shown, "rewrite")

        wait_until(lambda: client.info("persistence")["aof_rewrites"] > before)
    assert "writes its AOF anew" in said(shown)


def test_squeeze_lowers_the_cap_and_stop_puts_it_back(ours, watch):
    """By the button, which then releases; and whatever else is forgotten, at stop."""
    shown = watch(ours)
    with ours.client() as client:
        wait_until(lambda: not face(shown).buttons["squeeze"].disabled)
        press(shown, "squeeze")
        squeezed = int(client.config_get("maxmemory")["maxmemory"])
        words = face(shown).buttons["squeeze"].description
        press(shown, "stop")

        assert squeezed < 20 * MIB
        assert words == "Release maxmemory"
        assert int(client.config_get("maxmemory")["maxmemory"]) == 20 * MIB
    assert face(shown).buttons["squeeze"].description == "Squeeze maxmemory"


def test_foreign_server_is_looked_at_and_left_alone(foreign, watch):
    """Its buttons are disabled and say why, and the calls themselves refuse."""
    shown = watch(foreign.url, looks=3)
    wait_until(lambda: "does not carry" in said(shown))
    with foreign.client() as client:
        before = client.info("persistence")["aof_rewrites"], client.config_get("maxmemory")
        for name, act in (("rewrite", shown.rewrite), ("squeeze", shown.squeeze)):
            assert face(shown).buttons[name].disabled
            assert "does not carry the workbench's mark" in face(shown).buttons[name].tooltip
            with pytest.raises(TargetRefusedError, match="holds 1 keys"):
                act()
        press(shown, "rewrite")

        after = client.info("persistence")["aof_rewrites"], client.config_get("maxmemory")
    assert after == before
    assert not face(shown).buttons["keep"].disabled


def test_what_was_seen_is_kept_as_a_sealed_run(ours, watch, runs_folder):
    """The rules and the notebooks read it as any other."""
    shown = watch(ours, looks=3)
    press(shown, "keep")
    (path,) = runs_folder.glob("*-kept-*")
    run = open_run(path.name)

    assert path.name in said(shown)
    assert run.manifest.status == "complete"
    assert len(run.samples) >= 3
    assert run.measured_s > 0
    assert len(evaluate(run)) > 3


def test_nothing_seen_is_not_kept(watch, runs_folder):
    """A dashboard of no server writes no run."""
    shown = watch("redis://127.0.0.1:1")

    with pytest.raises(UsageError, match="fewer than two looks"):
        shown.keep()
    assert not list(runs_folder.glob("*-kept-*"))


def test_second_dashboard_closes_the_first_and_its_squeeze(ours, watch):
    """Nobody is left with two hands on one server."""
    first = watch(ours)
    first.squeeze()
    second = watch(ours)

    with ours.client() as client:
        assert int(client.config_get("maxmemory")["maxmemory"]) == 20 * MIB
    assert not first.running
    assert second.running
    assert "Another dashboard" in first._static()[0]["text/html"]


SQUEEZES = """
import sys
from workbench.live import Dashboard
shown = Dashboard(sys.argv[1])
print(shown.squeeze(), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_squeeze_of_a_killed_process_is_put_back_by_the_next_dashboard(start_server, watch):
    """While it lives another may not squeeze; once it is killed, its note says what there was."""
    server = start_server(maxmemory_bytes=30 * MIB)
    process = subprocess.Popen(
        [sys.executable, "-c", SQUEEZES, server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, server.client() as client:
        assert "maxmemory is" in process.stdout.readline()
        cap = int(client.config_get("maxmemory")["maxmemory"])
        shown = watch(server.url)
        with pytest.raises(RunError, match="another dashboard squeezes"):
            shown.squeeze()
        shown.close()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        assert cap < 30 * MIB
        watch(server.url)
        wait_until(lambda: int(client.config_get("maxmemory")["maxmemory"]) == 30 * MIB)


@pytest.mark.slow
def test_process_that_ends_by_itself_puts_its_squeeze_back(start_server):
    """A kernel that is restarted ends so; nobody has to call stop."""
    server = start_server(maxmemory_bytes=30 * MIB)
    process = subprocess.Popen(
        [sys.executable, "-c", SQUEEZES, server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, server.client() as client:
        assert "maxmemory is" in process.stdout.readline()
        squeezed = int(client.config_get("maxmemory")["maxmemory"])
        process.stdin.close()
        assert process.wait(timeout=20) == 0

        assert squeezed < 30 * MIB
        assert int(client.config_get("maxmemory")["maxmemory"]) == 30 * MIB


def test_server_that_dies_and_comes_back_is_said_in_a_sentence(start_server, watch):
    """No traceback, and what to do; then that it is another process."""
    server = start_server()
    shown = watch(server)
    server.stop()
    wait_until(lambda: "start another" in said(shown), timeout_s=20)
    gone = said(shown)
    server.start()

    assert "Unreachable" in gone
    assert "Traceback" not in gone
    wait_until(lambda: "the server was restarted" in said(shown), timeout_s=20)
    assert shown.running


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("redis://127.0.0.1:1", "It is looked for again"),
        ("127.0.0.1:6379", "write redis://127.0.0.1:6379"),
        ("http://127.0.0.1:6379", "not the URL of a server"),
        ("no-such-run", "there is no run"),
    ],
)
def test_wrong_name_is_said_in_the_dashboard(watch, what, says):
    """With what to write instead, and not as a traceback."""
    shown = Dashboard(what, interval_s=0.2)
    try:
        wait_until(lambda: says in said(shown), timeout_s=10, why=said(shown))
        assert says in repr(shown)
    finally:
        shown.close()


def test_wrong_kind_or_interval_is_refused():
    """These are mistakes in the cell itself."""
    with pytest.raises(UsageError, match="not of a int"):
        Dashboard(5)
    with pytest.raises(UsageError, match="outside"):
        Dashboard("redis://127.0.0.1:1", interval_s=0)


def test_password_is_asked_for_and_never_shown(start_server, watch):
    """Neither in the widgets, nor in the picture, nor in the text, nor in the run that is kept."""
    secret = "hunter2hunter2"
    server = start_server()
    with server.client() as client:
        client.config_set("requirepass", secret)
    shown = Dashboard(server.url, interval_s=0.2)
    wait_until(lambda: "It wants a login" in said(shown), timeout_s=10)
    shown.close()
    url = server.url.replace("redis://", f"redis://:{secret}@")
    known = watch(url, looks=3)
    kept = known.keep()

    pages = said(known) + json.dumps(known._static()) + repr(known)
    files = [path.read_bytes() for path in kept.rglob("*") if path.is_file()]
    assert "Memory is at" in pages
    assert secret not in pages
    assert not any(secret.encode() in content for content in files)
    with connect(url) as client:
        client.config_set("requirepass", "")


def test_sealed_run_shows_its_own_chart_and_looks_at_nothing(tiny_run, watch):
    """The same chart as its report's, and its verdict."""
    shown = Dashboard("tiny")

    assert not shown.running
    assert "follow-up turns" in shown._chart.title
    assert "verdict" in face(shown).findings.value
    assert all(button.disabled for button in face(shown).buttons.values())
    shown.close()


def test_without_widgets_a_picture_with_its_words_is_shown(ours, watch, monkeypatch):
    """What papermill and nbconvert keep: an image with its text, and no widget."""
    monkeypatch.setattr(dashboard, "widgets_shown", lambda: False)
    shown = watch(ours, looks=2)

    bundle, metadata = shown._repr_mimebundle_()

    assert set(bundle) == {"text/html", "text/plain"}
    assert 'src="data:image/svg+xml' in bundle["text/html"]
    assert "Memory is at" in metadata["text/html"]["alt"]
    assert "memory" in repr(shown)


def test_dashboard_of_a_server_that_this_process_started_ends_with_it(ours, watch):
    """As a context manager too."""
    with Dashboard(ours, interval_s=0.2) as shown:
        assert shown.running

    assert not shown.running
    assert isinstance(ours, PrivateServer)


@pytest.mark.slow
def test_run_that_goes_on_is_shown_with_its_turns_and_then_as_it_was_sealed(tmp_path, monkeypatch):
    """By its name: its server is looked at and left alone; at its end it has its report's chart."""
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    words = ("run", "demo", "--duration", "6s", "--rate", "150", "--no-report", "--exit-zero")
    process = workbench(tmp_path, *words)
    under_load(process, tmp_path)
    with Dashboard(only_run(tmp_path).name) as shown:
        wait_until(lambda: shown._chart, timeout_s=20, why=said(shown))
        titles = [ax.get_title(loc="left") for ax in shown._chart.figure.axes]

        assert any("Turn response" in title for title in titles)
        with pytest.raises(TargetRefusedError, match="an experiment is going on"):
            shown.squeeze()
        wait_until(lambda: not shown.running, timeout_s=60, why="the end of the run")
        assert not shown._chart.title.startswith("Memory is at")
        assert only_run(tmp_path).name in repr(shown)
        assert "verdict" in face(shown).findings.value
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
