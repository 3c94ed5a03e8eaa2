"""Raw access is pointed at, and what is right is left alone."""

import os
import shutil
from pathlib import Path

import pytest

from workbench import state
from workbench.inspection.lint import RULES, lint

RAW = {
    "raw-read": [
        'def f(r, i): return r.get(f"channel:{i}")',
        'def f(r): return r.get("channel:" + r.id)',
        'def f(r, i):\n    key = "channel:%s".format(i)\n    return self.redis.hgetall(key)',
        'def f(r): return r.get(b"channel:1")',
        'def f(r, i): return r.get(name=f"channel:{i}")',
        'def f(r, i): return r.mget([f"channel:{i}"])',
        'def f(r, i): return r.mget("other", f"channel:{i}")',
        'def f(r): return [r.get(k) for k in r.scan_iter("channel:*")]',
        'def f(r):\n    for k in r.keys("channel:*"): r.get(k)',
        'def f(r):\n    for k in r.scan(match="channel:*")[1]: r.get(k)',
        'def f(r):\n    at, found = r.scan(0, match="channel:*")\n    return r.mget(found)',
        'def f(r, i):\n    key = f"channel:{i}"\n    key = r.get(key)',
        'def _key(i): return f"channel:{i}"\ndef f(r, i): return r.get(_key(i))',
        "class A:\n    def f(self): return self.r.get(self._key())\n"
        '    def _key(self): return f"channel:{self.i}"',
        'class A:\n    @property\n    def key(self): return f"channel:{self.i}"\n'
        "    def f(self): return self.r.get(self.key)",
        'def f(r, ids):\n    for i, k in zip(ids, ["channel:" + i for i in ids]): r.dump(k)',
    ],
    "raw-write": [
        'def f(r, i): r.set(f"channel:{i}", "{}", ex=300)',
        'async def f(r, i):\n    key = f"channel:{i}"\n    await r.setex(key, 300, "x")',
        'def f(r, i): r.delete(f"channel:{i}")',
        'def f(pipe, i): pipe.expire(f"channel:{i}", 300)',
        'def f(p, i):\n    key = f"channel:{i}"\n    p.execute_command("SETEX", key, 300, "x")',
        'def f(r, i): r.eval("return 1", 1, f"channel:{i}")',
        'PREFIX = "channel:"\ndef f(r, i): r.delete(PREFIX + i)',
        'PREFIX = "channel:"\ndef f(r, i): r.delete(f"{PREFIX}{i}")',
        'class A:\n    KEY = "channel:%s"\n    def f(self, r, i): r.delete(self.KEY % i)',
        'def f(r):\n    for key in r.scan_iter("channel:*"):\n        r.delete(key)',
        'def f(r):\n    for key in r.scan_iter(match="channel:*"):\n        r.unlink(key)',
        'def f(r, i):\n    key: str = f"channel:{i}"\n    r.set(key, "x")',
        'def f(r, i):\n    if (key := f"channel:{i}"): r.delete(key)',
        'def f(r, i):\n    a, key = 1, f"channel:{i}"\n    r.set(key, "x")',
        'def f(r, i):\n    key = "channel:"\n    key += i\n    r.set(key, "x")',
        'def f(r, i): r.mset({f"channel:{i}": "x"})',
        'def f(r, i): r.delete("other", f"channel:{i}")',
        'def f(r, i): r.rename("other", f"channel:{i}")',
        'def f(r, i): r.copy("other", f"channel:{i}")',
        'def f(r, i): r.restore(f"channel:{i}", 0, b"")',
        'def f(r, i): r.json().set(f"channel:{i}", "$", {})',
        'def f(r, ids): r.delete(*[f"channel:{i}" for i in ids])',
        'def f(r, i): r.set("".join(["channel:", i]), 1)',
        'def f(r, i):\n    key = f"channel:{i}"\n    def g(): r.set(key, "x")\n    return g',
        'def f(r, i):\n    key = f"channel:{i}"\n    return lambda: r.delete(key)',
        'def f(self, i):\n    self.key = f"channel:{i}"\n    self.redis.set(self.key, 1)',
        "class A:\n    def w(self): self.r.set(self.key, 1)\n"
        '    def __init__(self, r, i): self.key, self.r = f"channel:{i}", r',
        'class A:\n    P = "channel:"\nclass B(A):\n    def f(self, r, i): r.delete(self.P + i)',
        'def f(r, i): r.execute_command(f"SET channel:{i} x")',
        'def f(r): r.execute_command("SET channel:1 x")',
        """def f(r): r.eval("redis.call('set', 'channel:1', 'x')", 0)""",
        'def f(r, i, a):\n    if a:\n        key = f"channel:{i}"\n    else:\n        key = "a:1"\n'
        "    r.delete(key)",
        'def f(r, i):\n    key = f"channel:{i}"\n    r.delete(key)\n    key = "session:1"',
        'def f(r, i):\n    try: key = f"channel:{i}"\n    except E: key = ""\n    r.delete(key)',
    ],
    "unknown-key": [
        # The documented wrong way, and the pattern of the service that it comes from.
        "try:\n    result = redis_client.get(key)\nexcept Exception as e:\n    log(e)",
        "class RedisAtomic:\n    def f(self, key):\n        pipe = self.redis.pipeline()\n"
        "        pipe.watch(key)\n        pipe.multi()\n        pipe.setex(key, 300, 1)",
        "class RedisAtomic:\n    def f(self, key): self.client.delete(key)",
        "import redis\nr = redis.Redis()\ndef f(x): return r.get(x)",
        "import redis.asyncio as aioredis\nasync def f(x): await aioredis.from_url(u).get(x)",
        "from redis import Redis\ndef f(store: Redis, x): store.delete(x)",
        "from redis import Redis\ndef f(store: 'Redis | None', x): store.delete(x)",
        "from redis.asyncio import Redis\nclass A:\n    def __init__(self, c: Redis): self.c = c\n"
        "    def f(self, x): return self.c.hgetall(x)",
        "import redis\ndef f(client, key): return client.get(key)",
        "import redis\ndef f(r, channel_id): return r.get(key_of(channel_id))",
        "import redis\ndef f(r, key):\n    with r.pipeline() as pipe: pipe.set(key, 1)",
        "from redis import Redis\ndef f(u, x):\n    with Redis.from_url(u) as c: c.set(x, 1)",
        "def f(self, x): self._redis.set(x, 1)",
        "def f(rds, x): rds.set(x, 1)",
        "def f(x): return get_redis().get(x)",
        "store = None\ndef begin():\n    global store\n    import redis\n"
        "    store = redis.Redis()\ndef f(x): return store.get(x)",
        "def f(redis_client, x): redis_client.execute_command('SET', x, 1)",
        "def f(redis_client, x): redis_client.eval(S, 1, x)",
        "from workbench.state import connect\nc = connect(U)\ndef f(x): c.delete(x)",
    ],
    "watch-after-read": [
        'def f(r, p, i):\n    key = f"channel:{i}"\n    old = r.get(key)\n    p.watch(key)',
        "def f(redis, key):\n    old = redis.get(key)\n    redis.pipeline().watch(key)",
    ],
    "direct-access": [
        'def f(state_manager): return state_manager.get("channel")',
        'def f(self): return self.state.get("member_id")',
        'def f(manager): manager.update_state({"_metadata": {}})',
        'def f(sm): return sm.get(part="channel")',
    ],
    "update-without-validation": [
        'def f(state_manager, v): state_manager.update_state({"value": 1})',
        'def f(m): m.update_state({"flow_data": {"context": "a", "data": {}}})',
        'state_manager.update_state({\n    "value": new_value  # Do not\n})',
        'def f(sm, v): sm.update_state(updates={"value": v})',
        "def f(sm, v): sm.update_state(dict(value=v))",
        'def f(sm, v):\n    updates = {"value": v}\n    sm.update_state(updates)',
        'def f(sm):\n    part = {"n": 1}\n    sm.update_state({"value": part})',
        'def f(sm, c): sm.update_state({"flow_data": {"context": c, "validation": None}})',
        'def f(s, k, v): s.atomic_state.atomic_update(k, {"value": {"n": v}})',
    ],
}
RIGHT = [
    'def f(state_manager): return state_manager.get("dashboard")',
    'def f(settings): return settings.get("channel")',
    'def f(m, v): m.update_state({"flow_data": {"context": "a", "validation": v}})',
    'def f(m, flow): m.update_state({"flow_data": flow})',
    'def f(m, flow): m.update_state({"flow_data": {**flow}})',
    'def f(m): m.update_state({"dashboard": {}})',
    'def f(r): return r.get("session:1")',
    'def f(r, i):\n    key = f"channel:{i}"\n    key = f"session:{i}"\n    r.delete(key)',
    'def f(r):\n    for key in r.scan_iter("session:*"):\n        r.delete(key)',
    'def f(r): r.execute_command("SETEX", "session:1", 300, "x")',
    'def f(d): d.update({"channel:1": 1}); return d["channel:1"]',
    'def f(p, r, i):\n    key = f"channel:{i}"\n    p.watch(key)',
    'def f(r, i): r.get(f"channel:{i}")  # workbench: raw',
    'def f(r, i):\n    r.get(\n        f"channel:{i}"\n    )  # workbench: raw',
    'x = 1\n\x0c\ndef f(r, i): r.get(f"channel:{i}")  # workbench: raw',
    'x = "\u2028\x1c"\ndef f(r, i): r.get(f"channel:{i}")  # workbench: raw',
    # Keys that are known to be others'.
    'def f(redis_client): return redis_client.get("session:1")',
    'def f(redis_client, i): return redis_client.get(f"session:{i}")',
    'LOCK = "lock:%s"\ndef f(redis_client, i): redis_client.delete(LOCK % i)',
    'def _lock(i): return f"lock:{i}"\ndef f(redis_client, i): redis_client.delete(_lock(i))',
    'def f(redis):\n    for key in redis.scan_iter("session:*"):\n        redis.delete(key)',
    'def f(redis, i): redis.execute_command(f"SET session:{i} x")',
    'def f(redis, i): redis.set("last", f"channel:{i}")',
    'def f(redis, i): redis.publish(f"channel:{i}", "x")',
    # What is no Redis, whatever its name.
    "def f(d, key): return d.get(key)",
    "import os, redis\ndef f(key): return os.environ.get(key)",
    "import redis, requests\ndef f(url): return requests.get(url)",
    'import redis\ndef f(client): return client.get("/url")',
    "import redis\ndef f(client, url): return client.get(url)",
    "import redis, httpx\ndef f(key):\n    with httpx.Client() as client: client.get(key)",
    "import redis, httpx\ndef f(client, key): return client.get(key)",
    "import redis\nfrom httpx import Client\ndef f(client: Client, key): return client.get(key)",
    "import redis\ndef f(client: 'TestClient', key): return client.get(key)",
    "import redis\ndef f(rows, key): return [r.get(key) for r in rows]",
    "import redis\ndef f(rows, key):\n    for r in rows: r.get(key)",
    "import redis, json\ndef f(text, key):\n    r = json.loads(text)\n    return r.get(key)",
    "import redis\ndef f(key):\n    r = {}\n    r.get(key)",
    "import redis\ndef f(key, **r): return r.setdefault(key)",
    "def f(redis_settings, key): return redis_settings.get(key)",
    "def f(redis_url, key): return redis_url.get(key)",
    "def f(client, key): return client.get(key)",
    "def f(r, key): return r.get(key)",
    "def f(headers, key): return headers.get(key)",
    "def f(cache, key): cache.set(key, 1)",
    "import redis\ndef f(r, key): return r.json().get(key)",
    "import redis\ndef f(): return redis.Redis()",
    'class A:\n    def __init__(self, i): self.key = f"channel:{i}"\n'
    "class B:\n    def __init__(self): self.key = 'a:1'\n"
    "    def f(self, r): r.delete(self.key)",
    # The state manager itself.
    'from workbench.state import RedisAtomic\ndef f(c, i): RedisAtomic(c).delete(f"channel:{i}")',
    'def f(atomic, i): atomic.delete(f"channel:{i}")',
    "import redis\ndef f(state_manager, key): state_manager.atomic_state.atomic_get(key)",
    'import json\ndef f(text):\n    state = json.loads(text)\n    return state.get("channel")',
    "def f(metric, y): metric.update_state(y, [1, 2])",
    'def f(task, n): task.update_state(state="PROGRESS", meta={"done": n})',
    'def f(store, n): store.update_state({"page": n})',
    'def f(sm, v):\n    part = {"n": 1, "validation": v}\n    sm.update_state({"value": part})',
    'def f(sm, v): sm.update_state({"auth": v, "dashboard": v, "flow_data": v})',
]


@pytest.mark.parametrize(
    ("rule", "source"), [(rule, source) for rule, sources in RAW.items() for source in sources]
)
def test_raw_access_is_pointed_at(tmp_path, rule, source):
    """By rule and place, with the right way."""
    file = tmp_path / "service.py"
    file.write_text(source)

    remarks = lint(file)

    assert rule in {each.rule for each in remarks}
    assert all(each.says and each.line >= 1 for each in remarks)


@pytest.mark.parametrize("source", RIGHT)
def test_what_is_right_is_left_alone(tmp_path, source):
    """A remark that is wrong costs more than one that is missing."""
    (tmp_path / "service.py").write_text(source)

    assert lint(tmp_path) == []


def test_every_rule_has_an_example():
    """No rule is without a test that it points at something."""
    assert set(RAW) == set(RULES)


@pytest.mark.parametrize("content", [b"def f(:", b"\xff\xfe", b"x = '\x00'"])
def test_file_that_is_no_python_is_named_and_the_others_are_read(tmp_path, content):
    """One file of another sort does not keep the rest from being looked at."""
    (tmp_path / "a.py").write_bytes(content)
    (tmp_path / "b.py").write_text(RAW["raw-read"][0])

    rules = [each.rule for each in lint(tmp_path)]

    assert rules == ["unreadable", "raw-read"]


def test_installed_packages_are_not_looked_at(tmp_path):
    """They are nobody's to change."""
    below = tmp_path / ".venv" / "lib"
    below.mkdir(parents=True)
    (below / "a.py").write_text(RAW["raw-read"][0])
    (tmp_path / "own.py").write_text("x = 1")

    assert lint(tmp_path) == []


def test_folder_without_python_is_refused(tmp_path):
    """That nothing was found there says nothing."""
    (tmp_path / "a.txt").write_text("")

    with pytest.raises(FileNotFoundError, match="no Python file"):
        lint(tmp_path)


def test_file_that_is_no_python_is_told_with_its_line(tmp_path):
    """Where it breaks."""
    file = tmp_path / "a.py"
    file.write_text("x = 1\ny = (\n")

    (remark,) = lint(file)

    assert (remark.rule, remark.line) == ("unreadable", 2)


def test_constant_of_another_file_is_known(tmp_path):
    """By its import, where that file is looked at as well."""
    (tmp_path / "names.py").write_text('OURS = "channel:"\nOTHERS: Final = "lock:"\n')
    (tmp_path / "service.py").write_text(
        "from service.names import OTHERS, OURS\nfrom service import names\n"
        "def f(redis, i):\n"
        "    redis.delete(OURS + i)\n"
        "    redis.delete(OTHERS + i)\n"
        '    redis.delete(f"{names.OURS}{i}")\n'
    )

    assert [(each.line, each.rule) for each in lint(tmp_path)] == [
        (4, "raw-write"),
        (6, "raw-write"),
    ]


def test_state_manager_is_left_alone_where_it_was_lifted_to(tmp_path):
    """What the others are to go through reads and writes keys that it is given."""
    lifted = tmp_path / "chat" / "state"
    shutil.copytree(Path(state.__file__).parent, lifted)

    with pytest.raises(FileNotFoundError, match="no Python file"):
        lint(tmp_path)


def test_folder_and_pipe_that_are_named_like_files_are_left_out(tmp_path):
    """They hold no Python; a pipe would be waited for."""
    (tmp_path / "package.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "a.py").write_text(RAW["raw-read"][0])

    assert [each.rule for each in lint(tmp_path)] == ["raw-read"]


def test_link_that_leads_nowhere_is_told_and_the_others_are_read(tmp_path):
    """What lies there cannot be known."""
    (tmp_path / "a.py").symlink_to("nowhere.py")
    (tmp_path / "b.py").write_text(RAW["raw-read"][0])

    assert [each.rule for each in lint(tmp_path)] == ["unreadable", "raw-read"]


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "-" * 5000 + "1",
        "x = " + "+".join(["1"] * 5000),
        "x = " + "(" * 250 + "1" + ")" * 250,
        "redis = a" + ".b()" * 900,
    ],
)
def test_expression_that_is_too_deep_is_told_and_the_others_are_read(tmp_path, source):
    """Python itself gives up on some of them."""
    (tmp_path / "a.py").write_text(source)
    (tmp_path / "b.py").write_text(RAW["raw-read"][0])

    assert [each.rule for each in lint(tmp_path)] == ["unreadable", "raw-read"]


def test_long_sum_is_looked_at(tmp_path):
    """Texts that are put together of hundreds of pieces are met in real code."""
    pieces = " + ".join(['"a"'] * 800)
    (tmp_path / "a.py").write_text(f"x = {pieces}\n" + RAW["raw-read"][0])

    assert [each.rule for each in lint(tmp_path)] == ["raw-read"]


@pytest.mark.parametrize(
    "begin", [b"\xef\xbb\xbf", "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1")]
)
def test_file_is_read_by_the_coding_that_it_says(tmp_path, begin):
    """As Python reads it."""
    (tmp_path / "a.py").write_bytes(begin + RAW["raw-read"][0].encode())

    assert [each.rule for each in lint(tmp_path)] == ["raw-read"]
