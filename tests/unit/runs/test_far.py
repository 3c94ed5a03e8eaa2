"""Runs in an object store are read from there, and what cannot be had of them is said."""

import gc
import logging
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

from tests.commands import workbench
from workbench.checkout import example_run_dir
from workbench.diagnostics.finding import Findings, evaluate, write_findings
from workbench.errors import PlaceError, RunError, UsageError
from workbench.runs import far
from workbench.runs.run import find_run, open_run, open_run_or_example

KEYS = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "canary-of-a-secret"}


@pytest.fixture(scope="module")
def endpoint():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def bucket(endpoint):
    """A bucket with the golden run, as runs/tiny."""
    store = S3FileSystem(
        access_key="name",
        secret_key="x",
        endpoint_override=endpoint,
        scheme="http",
        allow_bucket_creation=True,
        background_writes=False,
    )
    store.create_dir("bucket")
    for path in filter(Path.is_file, example_run_dir().rglob("*")):
        name = f"bucket/runs/tiny/{path.relative_to(example_run_dir())}"
        with store.open_output_stream(name) as file:
            file.write(path.read_bytes())
    return store


@pytest.fixture
def far_run(bucket, endpoint, monkeypatch):
    """The URL of a copy of the golden run."""
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": f"http://{endpoint}"}).items():
        monkeypatch.setenv(name, value)
    return "s3://bucket/runs/tiny"


def test_turns_of_a_far_run_are_asked_where_they_lie(far_run, tiny_run, monkeypatch):
    """The same findings, word for word, and not a turn copied."""
    monkeypatch.setattr(far, "_COPIED_BYTES_MAX", 0)
    run = open_run(far_run)

    assert evaluate(run, "loss-explained") == evaluate(tiny_run, "loss-explained")
    assert run.turns.frame().equals(tiny_run.turns.frame())
    assert not (run._folder / "operations").exists()
    assert (run._folder / "samples").exists()


def test_small_far_run_is_copied_and_its_copy_goes_with_it(far_run, tiny_run):
    """As every finding needs it, each word for word the near one's."""
    run = open_run(far_run)
    copy = run._folder

    assert evaluate(run) == evaluate(tiny_run)
    assert len(run.measured) == len(tiny_run.measured)
    assert (copy / "operations").exists()
    del run
    gc.collect()
    assert not copy.exists()


def test_what_writes_into_a_far_run_says_why_not(far_run):
    run = open_run(far_run)

    with pytest.raises(RunError, match=r"s3://bucket/runs/tiny is not on this machine.*copy it"):
        write_findings(run, Findings())
    with pytest.raises(RunError, match="copy it"):
        find_run(far_run)


@pytest.mark.slow
def test_far_run_is_checked_as_a_near_one(far_run, tmp_path):
    """By the command, whose exit code is the verdict's."""
    done = workbench(tmp_path, "check", far_run, "--json")
    told, _ = done.communicate(timeout=60)

    assert done.returncode == 1
    assert f'"run": "{far_run}"' in told


def test_any_protocol_of_fsspec_will_do(tiny_run):
    """Such as its memory; a notebook opens it likewise, and a table without a part is empty."""
    memory = fsspec.filesystem("memory")
    for name in ("manifest.json", "snapshots.json"):
        memory.pipe_file(f"/runs/few/{name}", (tiny_run.path / name).read_bytes())
    for part in (tiny_run.path / "operations").iterdir():
        memory.pipe_file(f"/runs/few/operations/{part.name}", part.read_bytes())

    run = open_run_or_example("memory://runs/few")

    assert len(run.turns) == len(tiny_run.turns)
    assert (run.name, run.where, len(run.samples), len(run.key_rows)) == (
        "few",
        "memory://runs/few",
        0,
        0,
    )


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("s3://bucket/runs/tyni", "no manifest.json; known: tiny"),
        ("s3://buckets/runs/tiny", "no manifest.json|no such bucket"),
        ("s4://bucket/runs/tiny", "no protocol 's4'"),
        ("gs://bucket/runs/tiny", "no adapter for gs is installed"),
    ],
)
def test_run_that_is_not_there_is_said(far_run, where, says):
    with pytest.raises((RunError, UsageError), match=says):
        open_run(where)


def test_store_that_does_not_answer_is_said_without_a_secret(far_run, monkeypatch):
    """With its address, since that may be what is wrong."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://name:canary-of-a-secret@127.0.0.1:9")

    with pytest.raises(PlaceError, match=r"127\.0\.0\.1:9 does not answer") as refused:
        open_run(far_run)

    assert "canary" not in str(refused.value)


def test_store_that_goes_while_it_is_read_is_said(far_run, monkeypatch):
    """Its turns are not here: that is no damage to the run."""
    monkeypatch.setattr(far, "_COPIED_BYTES_MAX", 0)
    run = open_run(far_run)
    assert len(run.turns) > 0

    def gone(*_, **__):
        raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation")

    monkeypatch.setattr(type(run._storage.file_system), "_open", gone)
    with pytest.raises(PlaceError, match=r"cannot be read: OSError.*NETWORK_CONNECTION"):
        run.turns.ask("select max(response_us) from rows")


def test_credentials_are_missed_before_anything_is_asked(far_run, monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name)

    with pytest.raises(UsageError, match=r"no credentials for S3.*AWS_ACCESS_KEY_ID"):
        open_run(far_run)
