"""Which server program is taken, and what it says of itself."""

import shutil
from pathlib import Path

import pytest

from workbench.errors import ServerMissingError, UsageError
from workbench.server import binary as binaries
from workbench.server.binary import ServerBinary, find_binary, inspect_binary, with_allocator
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch):
    """The environment of whoever runs the tests names no server."""
    monkeypatch.delenv("WORKBENCH_REDIS_SERVER", raising=False)


@pytest.fixture
def program(tmp_path):
    """Make a program that prints a text when it is asked for its version."""

    def make(text: str, name: str = "redis-server") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nprintf '%b' '{text}'\n")
        path.chmod(0o755)
        return path

    return make


def version(engine="Redis", number="7.0.15", malloc="jemalloc-5.3.0"):
    return f"{engine} server v={number} sha=00000000:0 malloc={malloc} bits=64 build=1"


@pytest.mark.parametrize(
    ("text", "engine", "number"),
    [
        (version(), "redis", "7.0.15"),
        (version(number="8.2.0", malloc="libc"), "redis", "8.2.0"),
        (version("Valkey", "9.1.2"), "valkey", "9.1.2"),
        (version("Valkey", "10.0.0-rc1"), "valkey", "10.0.0-rc1"),
    ],
)
def test_program_says_what_it_is(program, text, engine, number):
    """Engine, version and allocator are read from its own words."""
    found = inspect_binary(program(text), "given")

    assert found is not None
    assert (found.engine, found.version, found.origin) == (engine, number, "given")


@pytest.mark.parametrize(
    "text", ["", "hello", version(number="6.2.14"), version(number="5.0.7"), "\\377\\376"]
)
def test_old_or_foreign_program_is_no_server(program, text):
    """Anything older than 7.0, or that speaks otherwise, is passed over."""
    assert inspect_binary(program(text), "given") is None


def test_what_is_no_program_is_no_server(tmp_path):
    """Neither a folder, nor a text file, nor nothing."""
    (tmp_path / "text").write_text("redis")

    found = [inspect_binary(tmp_path / name, "given") for name in (".", "text", "missing")]

    assert found == [None, None, None]


@pytest.mark.parametrize("given", ["/nonexistent/redis", "/bin/true", "no-such-server"])
def test_named_server_that_is_none_is_refused(monkeypatch, given):
    """What was named is not silently replaced by something else."""
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", given)

    with pytest.raises(ServerMissingError, match=f"WORKBENCH_REDIS_SERVER={given} is not"):
        find_binary()


def test_named_server_goes_before_path(monkeypatch, program):
    """The environment decides first."""
    path = program(version(number="7.4.1"))
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(path))

    found = find_binary()

    assert (found.path, found.origin, found.version) == (path, "given", "7.4.1")


def test_path_goes_before_the_embedded_server(monkeypatch, program):
    """What the machine has installed is taken before what we brought."""
    monkeypatch.setenv("PATH", str(program(version()).parent), prepend=":")

    assert find_binary().origin == "path"


def test_old_server_on_path_is_passed_over(monkeypatch, program):
    """A redis-server that is too old does not hide a valkey-server that is not."""
    folder = program(version(number="6.0.16")).parent
    program(version("Valkey", "8.0.1"), "valkey-server")
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    found = find_binary()

    assert (found.engine, found.version) == ("valkey", "8.0.1")


@pytest.mark.capability("embedded-server")
def test_embedded_server_is_taken_where_there_is_no_other(monkeypatch, tmp_path):
    """A machine without any Redis still has a server."""
    monkeypatch.setenv("PATH", str(tmp_path))

    found = find_binary()

    assert (found.origin, found.engine) == ("embedded", "valkey")


def test_machine_without_any_server_is_told_how_to_get_one(monkeypatch, tmp_path):
    """The message names the commands that install one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "embedded_path", lambda: None)

    with pytest.raises(ServerMissingError, match="apt-get install redis-server"):
        find_binary()


@pytest.mark.capability("redis-on-path")
@pytest.mark.parametrize("spelling", ["relative", "name"])
def test_server_named_relatively_starts_in_its_own_folder(monkeypatch, tmp_path, spelling):
    """It is started elsewhere, so its path must not depend on where we are."""
    monkeypatch.chdir(tmp_path)
    Path("bin").mkdir()
    Path("bin/redis-server").symlink_to(shutil.which("redis-server"))
    given = "bin/redis-server" if spelling == "relative" else "redis-server"
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", given)

    with PrivateServer(profile("demo"), tmp_path / "data") as server:
        running = server.running

    assert running


def test_documented_server_has_no_differences():
    """Redis 7.0 with jemalloc is what the figures are meant for."""
    documented = ServerBinary(Path("r"), "redis", "7.0.15", "jemalloc-5.3.0", "path")

    assert documented.differences() == []


@pytest.mark.parametrize(
    ("engine", "number", "allocator", "words"),
    [
        ("valkey", "9.1.2", "jemalloc-5.3.0", ["stands in for Redis 7.0"]),
        ("redis", "8.0.0", "jemalloc-5.3.0", ["not 7.0"]),
        ("redis", "7.0.15", "libc", ["not jemalloc"]),
        ("valkey", "9.1.2", "libc", ["stands in", "not jemalloc"]),
    ],
)
def test_each_difference_is_told(engine, number, allocator, words):
    """One sentence for each thing that sets its figures apart."""
    found = ServerBinary(Path("r"), engine, number, allocator, "path").differences()

    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("asked", "preload", "allocates_with"),
    [
        ("valkey", "libjemalloc.so.2", "jemalloc"),
        ("valkey+jemalloc", "libjemalloc.so.2", "jemalloc"),
        ("valkey+libc", "", "libc"),
    ],
)
def test_allocator_is_chosen_behind_a_plus(monkeypatch, asked, preload, allocates_with):
    """So that the engine and its allocator can be told apart."""
    monkeypatch.setattr(binaries, "_jemalloc", lambda: "libjemalloc.so.2")

    found = find_binary(asked)

    assert (found.engine, found.preload) == ("valkey", preload)
    assert found.allocates_with == allocates_with


def test_server_is_named_by_its_path(program):
    """With an allocator behind it, or without; a plus in a folder's name is none."""
    path = program(version("Valkey", "8.1.8", "libc"), "valkey-8+more")

    found = find_binary(f"{path}+libc")

    assert (found.path, found.version, found.preload) == (path, "8.1.8", "")
    with pytest.raises(UsageError, match="no allocator 'more'"):
        find_binary(str(path))
    folder = path.parent / "a+b"
    folder.mkdir()
    assert find_binary(str(path.rename(folder / "server"))).version == "8.1.8"


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ("valky", UsageError, "no engine 'valky'; did you mean 'valkey'"),
        ("valkey+jemaloc", UsageError, "no allocator 'jemaloc'; did you mean 'jemalloc'"),
        ("valkey+", UsageError, "no allocator ''"),
        ("/nonexistent/server", ServerMissingError, "/nonexistent/server is not a Redis or"),
    ],
)
def test_engine_that_is_none_is_refused(asked, error, says):
    """With the nearest right one."""
    with pytest.raises(error, match=says):
        find_binary(asked)


def test_allocator_that_cannot_be_had_is_refused(program, monkeypatch):
    """jemalloc cannot be taken out of a program, nor preloaded where there is none."""
    with_own = inspect_binary(program(version()), "given")
    monkeypatch.setattr(binaries, "_jemalloc", lambda: "")
    without = inspect_binary(program(version("Valkey", "9.1.2", "libc"), "other"), "given")

    with pytest.raises(UsageError, match=r"built with jemalloc.*leave out \+libc"):
        with_allocator(with_own, "libc")
    with pytest.raises(ServerMissingError, match="none to preload"):
        with_allocator(without, "jemalloc")
    assert with_allocator(with_own, "jemalloc") is with_own
