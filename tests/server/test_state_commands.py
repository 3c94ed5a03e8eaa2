"""``workbench state`` on real servers: what it tells, what it hides, what it leaves alone."""

import json
import signal
import threading

import pytest

from tests.commands import workbench
from workbench.state import AtomicStateManager, RedisAtomic, StateManager

NUMBER = "263771234567"
KEY = f"channel:{NUMBER}"
ORIGIN = json.dumps({"channel": {"type": "whatsapp", "identifier": NUMBER}, "secret": "chipo"})


def run(folder, *words):
    """A command that ends by itself: code, stdout, stderr."""
    done = workbench(folder, "state", *words)
    out, err = done.communicate(timeout=60)
    return done.returncode, out, err


@pytest.fixture
def manager(client):
    """A conversation with something to hide."""
    manager = StateManager(KEY, client)
    manager.initialize_channel("whatsapp", NUMBER)
    manager.update_state({"auth": {"token": "hunter2"}, "dashboard": {"name": "Tatenda"}})
    manager.update_flow_state("offer", "amount", {"handle": "chipo"})
    return manager


def test_show_tells_what_a_conversation_is_and_hides_what_it_says(
    tmp_path, manager, redis_server, client
):
    """By its key or its identifier; the value is as it was."""
    before = client.get(KEY)

    code, out, _ = run(tmp_path, "show", redis_server.url, KEY)
    shown, open_, _ = run(tmp_path, "show", redis_server.url, NUMBER, "--show-values")

    assert (code, shown) == (0, 0)
    assert "sound" in out
    assert "offer" in out
    assert not [each for each in (NUMBER, "Tatenda", "chipo", "hunter2") if each in out]
    assert all(each in open_ for each in ("Tatenda", "chipo"))
    assert "hunter2" not in open_
    assert client.get(KEY) == before


def test_show_of_nothing_says_so_without_the_number(tmp_path, client, redis_server):
    """A number that somebody typed is not repeated."""
    code, out, err = run(tmp_path, "show", redis_server.url, NUMBER)

    assert code == 2
    assert "there is no conversation" in err
    assert NUMBER not in out + err


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("redis://u:hunter2@127.0.0.1:1", 4, "does not answer"),
        ("localhost:6379", 2, "redis+sentinel"),
    ],
)
def test_server_that_cannot_be_asked_is_named_without_its_password(tmp_path, url, code, says):
    """What was typed wrong, and what is right."""
    found, _, err = run(tmp_path, "verify", url)

    assert found == code
    assert says in err
    assert "hunter2" not in err


def test_verify_counts_each_kind_and_fails_by_damage(tmp_path, manager, redis_server, client):
    """Sound, foreign, damaged, newer, of another type, without a time to live."""
    sound, _, _ = run(tmp_path, "verify", redis_server.url)
    client.set("channel:origin", ORIGIN)
    client.set("channel:damaged", client.get(KEY).replace("amount", "amouut"))
    client.set("channel:text", "hello", ex=9)
    client.rpush("channel:list", "a")

    code, out, _ = run(tmp_path, "verify", redis_server.url, "--json")

    found = {kind: each["count"] for kind, each in json.loads(out).items()}
    assert (sound, code) == (0, 1)
    assert found == {
        "sound": 1,
        "headless": 1,
        "newer": 0,
        "damaged": 1,
        "no conversation": 2,
        "too large": 0,
        "without a time to live": 3,
    }
    assert NUMBER not in out


def test_diff_tells_what_differs(tmp_path, manager, redis_server, client):
    """Between two keys, and between a key and a file."""
    client.set("channel:2", client.get(KEY))
    kept = tmp_path / "kept.json"
    kept.write_text(client.get(KEY))
    same, _, _ = run(tmp_path, "diff", redis_server.url, KEY, "channel:2")
    manager.update_flow_state("offer", "confirm")

    code, out, _ = run(tmp_path, "diff", redis_server.url, KEY, kept)

    assert (same, code) == (0, 1)
    assert 'flow_data.component: "confirm" -> "amount"' in out
    assert NUMBER not in out


def test_tail_tells_each_change_and_ends_by_an_interrupt(tmp_path, manager, redis_server):
    """A line for a revision, without what it says; 130, as every command."""
    watching = workbench(
        tmp_path, "state", "tail", redis_server.url, "--interval-s", "0.1", PYTHONUNBUFFERED="1"
    )
    done = threading.Event()

    def write():
        while not done.wait(0.05):
            manager.update_flow_state("offer", "amount")

    writer = threading.Thread(target=write)
    writer.start()
    line = watching.stdout.readline()
    done.set()
    writer.join()
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=20)

    assert "revision" in line
    assert "flow_data" in line
    assert NUMBER not in line
    assert watching.returncode == 130


def test_migrate_tells_first_and_writes_when_told(tmp_path, manager, redis_server, client):
    """Each keeps what it has left to live; the damaged are left alone."""
    client.set("channel:origin", ORIGIN, ex=77)
    client.set("channel:forever", ORIGIN)
    client.set("channel:damaged", client.get(KEY).replace("amount", "amouut"), ex=77)
    before = {key: client.get(key) for key in client.scan_iter()}

    _, told, _ = run(tmp_path, "migrate", redis_server.url)
    unchanged = {key: client.get(key) for key in client.scan_iter()}
    code, out, _ = run(tmp_path, "migrate", redis_server.url, "--write", "--json")

    assert "1 would be migrated" in told
    assert unchanged == before
    assert code == 0
    assert json.loads(out)["migrated"] == 1
    assert 0 < client.ttl("channel:origin") <= 77
    assert RedisAtomic(client).read("channel:origin").revision == 1
    assert AtomicStateManager(RedisAtomic(client)).atomic_get("channel:origin")["secret"] == "chipo"
    assert client.get("channel:damaged") == before["channel:damaged"]
    assert client.get("channel:forever") == before["channel:forever"]


def test_lint_of_our_own_house_finds_nothing_raw(tmp_path):
    """And of what is not there, it says so."""
    own, out, _ = run(tmp_path, "lint", "workbench")
    missing, _, err = run(tmp_path, "lint", "nowhere")

    assert (own, missing) == (0, 2), out
    assert "nowhere" in err
