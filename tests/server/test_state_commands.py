"""``workbench state`` on real servers: what it tells, what it hides, what it leaves alone."""

import json
import os
import signal
import threading
import time
from functools import partial

import pytest

import workbench.cli.state
from tests.commands import workbench
from workbench.inspection import migration, stored
from workbench.inspection.masked import masked_key
from workbench.state import AtomicStateManager, RedisAtomic, StateManager, connect
from workbench.state import document as documents
from workbench.state.migrations import MIGRATIONS, migrated
from workbench.units import MIB

NUMBER = "263771234567"
KEY = f"channel:{NUMBER}"
ORIGIN = json.dumps({"channel": {"type": "whatsapp", "identifier": NUMBER}, "secret": "chipo"})


@pytest.fixture
def state(ask):
    """Carry out one of its commands: code, stdout, stderr."""
    return partial(ask, "state")


@pytest.fixture
def manager(client):
    """A conversation with something to hide."""
    manager = StateManager(KEY, client)
    manager.initialize_channel("whatsapp", NUMBER)
    manager.update_state({"auth": {"token": "hunter2"}, "dashboard": {"name": "Tatenda"}})
    manager.update_flow_state("offer", "amount", {"handle": "chipo"})
    return manager


def test_show_tells_what_a_conversation_is_and_hides_what_it_says(
    state, manager, redis_server, client
):
    """By its key or its identifier; the value is as it was."""
    before = client.get(KEY)

    code, out, _ = state("show", redis_server.url, KEY)
    shown, open_, _ = state("show", redis_server.url, NUMBER, "--show-values")

    assert (code, shown) == (0, 0)
    assert "sound" in out
    assert "offer" in out
    assert not [each for each in (NUMBER, "Tatenda", "chipo", "hunter2") if each in out]
    assert all(each in open_ for each in ("Tatenda", "chipo"))
    assert "hunter2" not in open_
    assert client.get(KEY) == before


def test_show_of_nothing_says_so_without_the_number(state, client, redis_server):
    """A number that somebody typed is not repeated."""
    code, out, err = state("show", redis_server.url, NUMBER)

    assert code == 2
    assert "there is no conversation" in err
    assert NUMBER not in out + err


def test_show_takes_the_mark_that_others_print(state, manager, redis_server, client):
    """Or how would one find the damaged one that ``verify`` counts?"""
    client.set("channel:damaged", client.get(KEY).replace("amount", "amouut"))
    _, out, _ = state("verify", redis_server.url)
    (label,) = [line.strip() for line in out.splitlines() if "[redacted]#" in line][:1]

    code, shown, _ = state("show", redis_server.url, label)
    by_mark, again, _ = state("show", redis_server.url, label.partition("]")[2])
    unknown, _, err = state("show", redis_server.url, "#00000000")

    assert (code, by_mark, unknown) == (1, 1, 2)
    assert "damaged" in shown
    assert '"component": "amouut"' in shown  # what it says now, to be looked at
    assert shown.splitlines()[3:] == again.splitlines()[3:]
    assert "no conversations have the mark" in err


def test_show_tells_what_is_stored_and_not_what_it_is_read_as(state, redis_server, client):
    """Nothing is made up, and nothing left out, of what another service wrote."""
    client.set(KEY, json.dumps({**json.loads(ORIGIN), "_validation": {"attempts": 7}}))

    code, out, _ = state("show", redis_server.url, KEY, "--json")

    told = json.loads(out)
    assert (code, told["kind"]) == (0, "headless")
    assert told["document"]["_validation"] == {"attempts": 7}
    assert "schema" not in told["document"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "URL", "session:1"), "begins with channel:"),
        (("show", "URL", ""), "begins with channel:"),
        (("show", "URL", "URL"), "the URL comes first"),
        (("show", "URL/99", "x"), "refuses"),
        (("show", "URL/abc", "x"), "cannot be read"),
        (("diff", "URL", KEY, "nofile.json"), "no file nofile.json"),
        (("diff", "URL", KEY, "/"), "no file /"),
    ],
)
def test_what_was_typed_wrong_is_told(state, manager, redis_server, words, says):
    """By its place, and with what is right."""
    words = [word.replace("URL", redis_server.url) for word in words]

    code, _, err = state(*words)

    assert code in (2, 4)
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "localhost:6379", "x"), "redis://HOST:PORT"),
        (("tail", "redis://h", "--duration", "-1"), "--duration"),
        (("migrate", "redis://h", "--ttl-s", "-5"), "--ttl-s"),
        (("lint", "docs"), "no Python file"),
    ],
)
def test_what_was_typed_wrong_is_told_before_a_server_is_asked(state, words, says):
    """Likewise."""
    code, _, err = state(*words)

    assert code == 2
    assert says in err


def test_tail_tells_once_of_what_is_no_conversation(state, manager, redis_server, client):
    """And before, what it watches."""
    client.rpush("channel:list", "a")
    client.expire("channel:list", 100)

    code, out, err = state("tail", redis_server.url, "--interval-s", "0.1", "--duration", "1")

    assert (code, out) == (0, "")
    assert "watching 2 conversations" in err


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("redis://u:hunter2@127.0.0.1:1", 4, "does not answer"),
        ("localhost:6379", 2, "redis+sentinel"),
        ("", 2, "no URL"),
    ],
)
def test_server_that_cannot_be_asked_is_named_without_its_password(state, url, code, says):
    """What was typed wrong, and what is right."""
    found, _, err = state("verify", url)

    assert found == code
    assert says in err
    assert "hunter2" not in err


def test_verify_counts_each_kind_and_fails_by_damage(state, manager, redis_server, client):
    """Sound, foreign, damaged, newer, of another type, without a time to live."""
    sound, _, _ = state("verify", redis_server.url)
    client.set("channel:origin", ORIGIN)
    client.set("channel:damaged", client.get(KEY).replace("amount", "amouut"))
    client.set("channel:text", "hello", ex=9)
    client.rpush("channel:list", "a")

    code, out, _ = state("verify", redis_server.url, "--json")

    found = {kind: each["count"] for kind, each in json.loads(out).items()}
    assert (sound, code) == (0, 1)
    assert found == {
        "sound": 1,
        "headless": 1,
        "older": 0,
        "newer": 0,
        "damaged": 1,
        "no conversation": 2,
        "too large": 0,
        "without a time to live": 3,
    }
    assert NUMBER not in out


def test_diff_tells_what_differs(state, tmp_path, manager, redis_server, client):
    """Between two keys, and between a key and a file."""
    client.set("channel:2", client.get(KEY))
    kept = tmp_path / "kept.json"
    kept.write_text(client.get(KEY))
    same, _, _ = state("diff", redis_server.url, KEY, "channel:2")
    manager.update_flow_state("offer", "confirm")

    code, out, _ = state("diff", redis_server.url, KEY, kept)

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


def test_migrate_tells_first_and_writes_when_told(state, manager, redis_server, client):
    """Each keeps what it has left to live; the damaged are left alone."""
    client.set("channel:origin", ORIGIN, ex=77)
    client.set("channel:forever", ORIGIN)
    client.set("channel:damaged", client.get(KEY).replace("amount", "amouut"), ex=77)
    before = {key: client.get(key) for key in client.scan_iter()}

    _, told, _ = state("migrate", redis_server.url)
    unchanged = {key: client.get(key) for key in client.scan_iter()}
    code, out, _ = state("migrate", redis_server.url, "--write", "--json")

    assert "1 would be migrated" in told
    assert unchanged == before
    assert code == 0
    assert json.loads(out)["migrated"] == 1
    assert 0 < client.ttl("channel:origin") <= 77
    assert RedisAtomic(client).read("channel:origin").revision == 1
    assert AtomicStateManager(RedisAtomic(client)).atomic_get("channel:origin")["secret"] == "chipo"
    assert client.get("channel:damaged") == before["channel:damaged"]
    assert client.get("channel:forever") == before["channel:forever"]


@pytest.fixture
def migrated_by(state, redis_server, client, monkeypatch):
    """What a migration tells, where something is done between its look and its write."""

    def run_it(meanwhile, *words):
        looked_at = stored.looked_at

        def and_then(client, keys):
            found = list(looked_at(client, keys))
            meanwhile()
            return found

        monkeypatch.setattr(stored, "looked_at", and_then)
        code, out, err = state("migrate", redis_server.url, "--write", "--json", *words)
        assert code == 0, err
        return json.loads(out)

    return run_it


def test_migrate_leaves_the_life_that_another_writer_gave_meanwhile(client, migrated_by):
    """It has a head, and 300 s; with the 2 s that were seen it would soon be lost."""
    client.set("channel:1", ORIGIN, ex=2)

    def written():
        StateManager("channel:1", client).update_state({"dashboard": {"n": 1}})

    told = migrated_by(written)

    assert (told["migrated"], told["written meanwhile"]) == (0, 1)
    assert client.ttl("channel:1") > 200
    assert RedisAtomic(client).read("channel:1").revision == 1


def test_migrate_keeps_the_life_that_a_foreign_writer_gave_meanwhile(client, migrated_by):
    """It is migrated as it is by then, and lives as long as that writer said."""
    client.set("channel:1", ORIGIN, ex=2)

    told = migrated_by(lambda: client.set("channel:1", ORIGIN.replace("chipo", "rudo"), ex=300))

    assert told["migrated"] == 1
    assert client.ttl("channel:1") > 200
    assert RedisAtomic(client).read("channel:1").document["secret"] == "rudo"


def test_migrate_lengthens_no_life_by_the_time_it_takes(client, migrated_by):
    """The moment at which it ends stays the same, to the millisecond."""
    client.set("channel:1", ORIGIN, px=50_000)
    ends_ms = client.pexpiretime("channel:1")

    told = migrated_by(lambda: time.sleep(0.2))

    assert told["migrated"] == 1
    assert client.pexpiretime("channel:1") == ends_ms


def test_migrate_brings_back_nothing_that_ended_meanwhile(client, migrated_by):
    """And gives no end to what has lost it, unless it was told."""
    client.set("channel:1", ORIGIN, ex=50)
    client.set("channel:2", ORIGIN, ex=50)
    client.set("channel:3", ORIGIN, ex=50)

    def ended():
        client.delete("channel:1")
        client.persist("channel:2")
        client.delete("channel:3")
        client.rpush("channel:3", "x")

    told = migrated_by(ended)

    assert (told["migrated"], told["gone"], told["without a time to live"]) == (0, 1, 1)
    assert told["left alone"] == {"no conversation": 1}
    assert not client.exists("channel:1")
    assert client.ttl("channel:2") == -1
    assert client.get("channel:2") == ORIGIN


def test_migrate_writes_what_another_writer_left_within_its_own_step(client, monkeypatch):
    """It looks again, and gives up on none that is written now and then."""
    client.set("channel:1", ORIGIN, ex=50)
    made_out, races = migration.made_out, iter(range(3))

    def and_then(text, ttl_ms):
        for race in [next(races, None)]:
            if race is not None:
                client.set("channel:1", ORIGIN.replace("chipo", f"rudo{race}"), ex=300)
        return made_out(text, ttl_ms)

    monkeypatch.setattr(migration, "made_out", and_then)

    assert migration.migrate(client, b"channel:1") == "migrated"
    assert RedisAtomic(client).read("channel:1").document["secret"] == "rudo2"
    assert client.ttl("channel:1") > 200


def test_migrate_gives_an_end_to_what_has_none_when_told(client, migrated_by):
    """By --ttl-s, and only to these."""
    client.set("channel:1", ORIGIN)
    client.set("channel:2", ORIGIN, ex=500)

    told = migrated_by(lambda: None, "--ttl-s", "60")

    assert told["migrated"] == 2
    assert 50 < client.ttl("channel:1") <= 60
    assert 400 < client.ttl("channel:2") <= 500


def test_document_of_an_older_schema_is_counted_and_migrated(client, manager, monkeypatch):
    """With its head, which shows that it was written by us, but not since."""
    monkeypatch.setattr(documents, "SCHEMA", 2)
    steps = (*MIGRATIONS, lambda document: {**document, "of": "two"})
    monkeypatch.setattr(documents, "migrated", partial(migrated, migrations=steps))
    (before,) = stored.looked_at(client, [KEY.encode()])
    ends_ms = client.pexpiretime(KEY)

    outcome = migration.migrate(client, KEY.encode())

    ((_, after),) = stored.looked_at(client, [KEY.encode()])
    assert (before[1].kind, outcome, after.kind) == ("older", "migrated", "sound")
    assert (after.document["schema"], after.document["of"]) == (2, "two")
    assert after.head.revision == before[1].head.revision + 1
    assert after.head.names[1] == before[1].head.names[0]
    assert client.pexpiretime(KEY) == ends_ms


def test_failure_of_a_migration_tells_neither_key_nor_value(state, start_server):
    """redis-py puts both into what it says of a transaction that the server refused."""
    server = start_server(maxmemory_policy="noeviction")
    with connect(server.url) as full:
        full.set(KEY, ORIGIN, ex=50)
        full.config_set("maxmemory", 1)

        code, out, err = state("migrate", server.url, "--write")

        assert full.get(KEY) == ORIGIN
    assert code == 4
    assert "the store is full" in err
    assert not [each for each in (NUMBER, "chipo") if each in out + err]


@pytest.mark.parametrize("command", ["verify", "migrate", "migrate --write", "tail --duration 0.3"])
def test_key_that_is_no_text_is_told_and_the_others_are_looked_at(
    state, manager, redis_server, client, command
):
    """Its bytes are nobody's text, so it has a mark alone."""
    client.set(b"channel:\xff\xfe", ORIGIN, ex=77)
    name, *options = command.split()

    code, out, err = state(name, redis_server.url, *options)

    assert code == 0, err
    assert "Traceback" not in err
    told = {
        "verify": ["1  sound", "1  headless", "channel:[redacted]#"],
        "migrate": ["1 would be migrated" if not options else "1 migrated", "1 need nothing"],
        "tail": [],
    }[name]
    assert all(each in out for each in told), out
    assert name != "tail" or "watching 2 conversations" in err


def test_key_that_is_no_text_is_shown_by_its_mark_and_as_it_is(state, redis_server, client):
    """By its bytes as well, as a shell hands them over."""
    key = b"channel:\xff\xfe"
    client.set(key, ORIGIN, ex=77)

    by_mark, _, _ = state("show", redis_server.url, "#" + masked_key(key).partition("#")[2])
    by_bytes, out, err = state("show", redis_server.url, os.fsdecode(key))
    missing, _, told = state("show", redis_server.url, os.fsdecode(b"channel:\xfd"))
    watching, _, _ = state(
        "tail", redis_server.url, os.fsdecode(b"channel:\xff*"), "--duration", "0.2"
    )

    assert (by_mark, by_bytes, missing, watching) == (0, 0, 2, 0), err
    assert "headless" in out
    assert "there is no conversation channel:[redacted]#" in told


def test_value_that_is_too_large_is_not_read(client):
    """Its size is enough; of many large ones a few are read at a time."""
    big, fitting = 3 * MIB, MIB - 100
    client.set("channel:big", "x" * big, ex=50)
    for number in range(6):
        client.set(f"channel:{number}", b'"' + b"x" * fitting + b'"', ex=50)
    keys = [b"channel:gone", b"channel:big", *(f"channel:{n}".encode() for n in range(6))]
    client.config_resetstat()

    found = stored.looked_at(client, keys)
    first = next(found)
    after_first = client.info("stats")["total_net_output_bytes"]
    rest = dict(found)

    assert (first[0], first[1].kind, first[1].value_bytes) == (b"channel:big", "too large", big)
    assert after_first < MIB
    assert [each.value_bytes for each in rest.values()] == [fitting + 2] * 6
    assert client.info("commandstats")["cmdstat_getrange"]["calls"] == 6
    assert client.info("stats")["total_net_output_bytes"] < 6.5 * MIB


def test_value_that_has_grown_since_is_read_in_part(client, monkeypatch):
    """So much as shows that it is too large."""
    client.set("channel:1", ORIGIN, ex=50)
    read = stored._read

    def and_then(client, keys):
        client.set("channel:1", "x" * 5 * MIB, ex=50)
        client.config_resetstat()
        return read(client, keys)

    monkeypatch.setattr(stored, "_read", and_then)

    ((_, found),) = stored.looked_at(client, [b"channel:1"])

    assert found.kind == "too large"
    assert client.info("stats")["total_net_output_bytes"] < 1.1 * MIB


def test_refusal_is_told_as_one_and_not_as_another_type(state, client, redis_server):
    """A user who may list the keys, and read none."""
    client.set(KEY, ORIGIN, ex=50)
    client.acl_setuser(
        "lister", enabled=True, passwords=["+x"], keys=["*"], commands=["+scan", "+ping", "+pttl"]
    )
    try:
        url = redis_server.url.replace("redis://", "redis://lister:x@")
        code, out, err = state("verify", url)
    finally:
        client.acl_deluser("lister")

    assert code == 4
    assert "refuses" in err
    assert NUMBER not in out + err


def test_tail_hides_a_part_that_is_named_by_a_person(state, manager, redis_server, client):
    """Parts may be named by whatever another service likes."""
    done = threading.Event()

    def write():
        number = 0
        while not done.wait(0.05):
            number += 1
            client.set("channel:o", json.dumps({**json.loads(ORIGIN), "+263 77 12": number}), ex=50)

    writer = threading.Thread(target=write)
    writer.start()
    _, out, _ = state("tail", redis_server.url, "--interval-s", "0.1", "--duration", "1")
    done.set()
    writer.join()

    assert "without a head: [10 characters]#" in out
    assert "263" not in out


def test_file_name_that_is_too_long_is_a_key(state, manager, redis_server):
    """It is not told what the system says of it, which repeats it."""
    code, out, err = state("diff", redis_server.url, KEY, "9" * 300)

    assert code == 2
    assert "there is no conversation" in err
    assert "999" not in out + err


def test_lint_of_our_own_house_finds_nothing_raw(state):
    """And of what is not there, it says so."""
    own, out, _ = state("lint", "workbench")
    load, more, _ = state("lint", "loadtests")
    missing, _, err = state("lint", "nowhere")

    assert (own, load, missing) == (0, 0, 2), out + more
    assert "nowhere" in err
