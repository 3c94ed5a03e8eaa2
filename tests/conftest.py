"""Servers for the tests: private ones, each gone when the tests end."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from itertools import cycle
from pathlib import Path

import pytest
from redis import Redis

from tests.capabilities import (  # noqa: F401  (pytest finds the hooks here)
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_setup,
)
from tests.waiting import wait_until
from workbench.runs.run import Run
from workbench.server import binary as binaries
from workbench.server import process as processes
from workbench.server.process import PrivateServer
from workbench.server.profiles import ServerProfile, profile
from workbench.state import connect

pytest_plugins = ["pytester"]

StartServer = Callable[..., PrivateServer]

GOLDEN = Path(__file__).parent / "data" / "runs" / "tiny"


class ProfileWithDirectives(ServerProfile):
    """A profile with further lines in its redis.conf."""

    more: dict[str, str]

    def directives(self) -> dict[str, str]:
        return {**ServerProfile.directives(self), **self.more}


@pytest.fixture(scope="session", autouse=True)
def _no_server_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every server that a test started has ended when the run ends, however the test ended."""
    base = tmp_path_factory.getbasetemp()
    yield
    wait_until(lambda: not _servers_below(base), why=f"no server left of {_servers_below(base)}")


@pytest.fixture(scope="session", autouse=True)
def _ports_of_ones_own() -> Iterator[None]:
    """
    No server gets the port on which another test has just stopped one.

    A client that goes on trying for some seconds would talk to the new one. So each worker goes
    round its own thousand ports, below those that the kernel gives out.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = cycle(range(20_000 + worker * 1_000, 21_000 + worker * 1_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "free_port", lambda: next(filter(_is_free, ports)))
        yield


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are kept, as long as the test lasts."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_RUNS", str(folder))
    return folder


@pytest.fixture
def tiny_run(runs_folder: Path) -> Run:
    """A copy of the golden run, under the name tiny among the runs."""
    return Run(shutil.copytree(GOLDEN, runs_folder / "tiny"))


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("redis-server", marks=pytest.mark.capability("redis-on-path")),
        pytest.param("embedded", marks=pytest.mark.capability("embedded-server")),
    ],
)
def server_binary(request: pytest.FixtureRequest) -> binaries.ServerBinary:
    """Every test on a server runs twice: on the one on PATH, and on the embedded one."""
    embedded = request.param == "embedded"
    program = binaries.embedded_path() if embedded else shutil.which(request.param)
    found = binaries.inspect_binary(Path(program or ""), "embedded" if embedded else "path")
    assert found is not None, f"{program} is no usable server"
    return found


@pytest.fixture(scope="session")
def redis_server(
    server_binary: binaries.ServerBinary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    """The server that most tests share; ``client`` empties it."""
    folder = tmp_path_factory.mktemp("redis")
    with PrivateServer(profile("demo"), folder, binary=server_binary) as server:
        yield server


@pytest.fixture
def client(redis_server: PrivateServer) -> Iterator[Redis]:
    """A client of the shared server, which is empty."""
    with _emptied(redis_server) as connected:
        yield connected


@pytest.fixture
def start_server(
    server_binary: binaries.ServerBinary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartServer]:
    """
    Start a server of one's own: ``start_server(maxmemory_policy="noeviction")``.

    Settings that a profile does not know are given as ``directives={"repl-timeout": "9"}``; a
    folder and a log of its own only where they matter.
    """
    with _starting(server_binary, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def start_servers(
    server_binary: binaries.ServerBinary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartServer]:
    """Like ``start_server``, for servers that the tests of a file share."""
    with _starting(server_binary, tmp_path_factory) as start:
        yield start


@contextmanager
def _starting(
    server_binary: binaries.ServerBinary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartServer]:
    with ExitStack() as servers:

        def start(
            *,
            directives: dict[str, str] | None = None,
            folder: Path | None = None,
            log: Path | None = None,
            **changes: object,
        ) -> PrivateServer:
            chosen = replace(profile("demo"), **changes)
            if directives:
                values = {part.name: getattr(chosen, part.name) for part in fields(chosen)}
                chosen = ProfileWithDirectives(**values)
                object.__setattr__(chosen, "more", directives)
            folder = folder or tmp_path_factory.mktemp("server")
            server = PrivateServer(chosen, folder, binary=server_binary, log=log)
            return servers.enter_context(server)

        yield start


@pytest.fixture
def cluster_node(start_server: StartServer) -> PrivateServer:
    """One node of a cluster that serves no slot yet."""
    # By default the bus takes the port 10,000 above the server's, which may be past the last one.
    bus = {"cluster-enabled": "yes", "cluster-port": str(processes.free_port())}
    return start_server(directives=bus)


def _emptied(server: PrivateServer) -> Redis:
    connected = connect(server.url, timeout_s=5.0)
    connected.flushall()
    connected.function_flush()
    connected.config_resetstat()
    return connected


def _servers_below(base: Path) -> list[str]:
    """The processes whose working directory lies in the tests' own folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            folder = os.readlink(process / "cwd")  # noqa: PTH115  (may end in " (deleted)")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if "-server" in name and folder.startswith(str(base)) and state != "Z":
            found.append(f"{name} {process.name} in {folder}")
    return found
