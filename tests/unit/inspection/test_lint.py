"""Raw access is pointed at, and what is right is left alone."""

import pytest

from workbench.inspection.lint import RULES, lint

RAW = {
    "raw-read": [
        'def f(r, i): return r.get(f"channel:{i}")',
        'def f(r): return r.get("channel:" + r.id)',
        'def f(r, i):\n    key = "channel:%s".format(i)\n    return self.redis.hgetall(key)',
        'def f(r): return r.get(b"channel:1")',
    ],
    "raw-write": [
        'def f(r, i): r.set(f"channel:{i}", "{}", ex=300)',
        'async def f(r, i):\n    key = f"channel:{i}"\n    await r.setex(key, 300, "x")',
        'def f(r, i): r.delete(f"channel:{i}")',
        'def f(pipe, i): pipe.expire(f"channel:{i}", 300)',
    ],
    "watch-after-read": [
        'def f(r, p, i):\n    key = f"channel:{i}"\n    old = r.get(key)\n    p.watch(key)',
    ],
    "direct-access": [
        'def f(state_manager): return state_manager.get("channel")',
        'def f(self): return self.state.get("member_id")',
        'def f(manager): manager.update_state({"_metadata": {}})',
    ],
    "update-without-validation": [
        'def f(state_manager, v): state_manager.update_state({"value": 1})',
        'def f(m): m.update_state({"flow_data": {"context": "a", "data": {}}})',
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
    'def f(d): d.update({"channel:1": 1}); return d["channel:1"]',
    'def f(p, r, i):\n    key = f"channel:{i}"\n    p.watch(key)',
    'def f(r, i): r.get(f"channel:{i}")  # workbench: raw',
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

    assert lint(tmp_path) == []
