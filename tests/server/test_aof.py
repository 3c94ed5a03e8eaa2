"""Append-only files of both engines, against what the server itself says of its keys."""

import json

import pytest
from redis import Redis

from tests.waiting import wait_until
from workbench.telemetry.aofdir import read_aof_folder
from workbench.telemetry.rdb import checksum_holds, read_rdb

LAZYFREE = {
    "lazyfree-lazy-eviction": "yes",
    "lazyfree-lazy-expire": "no",
    "aof-timestamp-enabled": "yes",
}
KINDS = {
    "list": "l", "set": "s", "sorted set": "z", "hash": "h", "stream": "x", "string": "n"
}  # fmt: skip


def fill(client):
    """Keys of every kind, small and large, some of them idle for days."""
    pipe = client.pipeline(transaction=False)
    for index in range(300):
        pipe.set(f"channel:{index:09d}-{'a' * 40}", "v" * index * 7, px=300_000 + 1000 * index)
    pipe.set("n:1", 17)
    pipe.set("12345", "x" * 20_000)
    pipe.rpush("l:small", 1, 2, "x")
    pipe.rpush("l:big", *["y" * 5000] * 30)
    pipe.sadd("s:int", 1, 2, 3)
    pipe.sadd("s:big", *range(700), "x")
    pipe.zadd("z:small", {"a": 1})
    pipe.zadd("z:big", {str(at): at for at in range(300)} | {"inf": float("inf")})
    pipe.hset("h:small", mapping={"a": 1})
    pipe.hset("h:big", mapping={str(at): "x" * 100 for at in range(200)})
    for at in range(150):
        pipe.xadd("x:1", {"f": at})
    pipe.xgroup_create("x:1", "g", "0")
    pipe.xreadgroup("g", "one", {"x:1": ">"}, count=10)
    pipe.function_load("#!lua name=x\nredis.register_function('x', function() return 1 end)")
    pipe.execute()


@pytest.fixture(scope="module")
def left(start_servers):
    """A folder that a server with evictions left; what it said of its keys, and of itself."""
    server = start_servers(maxmemory_bytes=4 * 1024**2)
    folder = server.folder / "appendonlydir"
    with server.client() as client:
        for name, value in LAZYFREE.items():
            client.config_set(name, value)
        client.config_set("auto-aof-rewrite-percentage", 0)
        fill(client)
        with Redis.from_url(server.url) as raw:  # what DUMP answers is no text
            text = raw.dump("n:1")
            for index in range(50):
                raw.restore(f"idle:{index}", 3_600_000, text, idletime=index * 1000)
        names = [name for name in client.scan_iter(count=1000) if not name.startswith("x:")]
        asked = client.pipeline(transaction=False)
        for name in names:
            asked.object("idletime", name)
            asked.pexpiretime(name)
        client.bgrewriteaof()
        answers = asked.execute()
        wait_until(
            lambda: (
                (folder / "appendonly.aof.2.base.rdb").exists()
                and not client.info("persistence")["aof_rewrite_in_progress"]
            ),
            why="a rewrite",
        )
        client.config_resetstat()
        pipe = client.pipeline(transaction=False)
        for index in range(1500):
            pipe.set(f"later:{index}", "v" * 2000)
        pipe.set("short:1", 1, px=1)
        pipe.execute()
        wait_until(lambda: client.info("stats")["expired_keys"] >= 1, why="an expiry")
        stats = client.info("stats")
    server.stop()  # what it still holds is written
    said = dict(zip(names, zip(answers[::2], answers[1::2], strict=True), strict=True))
    return folder, said, stats


def base_of(folder):
    return folder / "appendonly.aof.2.base.rdb"


def test_every_key_is_read_with_its_idle_time_and_expiry(left):
    """Idle to within a second of OBJECT IDLETIME, expiry equal to PEXPIRETIME."""
    folder, said, _ = left
    with base_of(folder).open("rb") as file:
        header, keys = read_rdb(file)
        found = {key.name.decode(): key for key in keys}

    assert said.keys() <= found.keys()
    for name, (idle_s, expires_ms) in said.items():
        assert abs(found[name].idle_s - idle_s) <= 1, name
        assert (found[name].expires_ms or -1) == expires_ms, name
    assert max(key.idle_s for key in found.values()) >= 49_000
    assert checksum_holds(base_of(folder), header.end) is True


def test_every_kind_of_value_is_skipped_to_its_end(left):
    """Else the keys after it would not be the server's."""
    folder, _, _ = left
    with base_of(folder).open("rb") as file:
        header, keys = read_rdb(file)
        found = list(keys)

    assert {key.kind for key in found} == set(KINDS)
    assert all(
        key.name.startswith(f"{KINDS[key.kind]}:".encode()) for key in found if key.kind != "string"
    )
    # All that is left are the header, sizes of tables, the function and the end's mark.
    assert 0 < header.end - sum(key.length_bytes for key in found) < 400
    assert base_of(folder).stat().st_size == header.end + 8


def test_checksum_of_a_changed_byte_does_not_hold(left, tmp_path):
    """The control."""
    folder, _, _ = left
    with base_of(folder).open("rb") as file:
        header, keys = read_rdb(file)
        list(keys)
    raw = bytearray(base_of(folder).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "changed").write_bytes(raw)

    assert checksum_holds(tmp_path / "changed", header.end) is False


def test_unlinks_are_as_many_as_the_keys_that_were_evicted(left):
    """With these settings; the key that expired is a DEL."""
    folder, _, stats = left

    found = read_aof_folder(folder)

    assert sum(each.unlinked for each in found.prefixes.values()) == stats["evicted_keys"] > 100
    assert found.prefixes["short"].deleted == 1
    assert found.prefixes["channel"].keys == 300
    assert found.prefixes[""].keys == 1
    assert [each.truncated_at for each in found.increments] == [None]


@pytest.mark.whole_command
def test_command_prints_prefixes_and_no_name(left, ask):
    """What UNLINK means is said only if the settings are."""
    folder, _, stats = left

    code, out, _ = ask("aof", folder)
    json_code, printed, _ = ask("aof", folder, "--lazyfree", "--json")

    assert (code, json_code) == (0, 0)
    assert "which of them were evicted, only the settings tell" in out
    assert "its checksum holds" in out
    assert out.rstrip().endswith(str(folder))
    told = json.loads(printed)
    assert told["unlink_is"] == "evicted or unlinked"
    assert sum(each["unlinked"] for each in told["prefixes"].values()) == stats["evicted_keys"]
    for text in (out, printed):
        assert "12345" not in text
        assert "000000001" not in text
