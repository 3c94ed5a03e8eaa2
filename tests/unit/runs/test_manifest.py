"""The manifest is written whole or not at all, and damage is named."""

import json
from dataclasses import dataclass

import msgspec
import pytest

from tests.frames import make_run
from workbench.errors import RunError
from workbench.runs.manifest import MANIFEST, read_manifest, write_manifest


@dataclass
class Damaged:
    text: bytes
    says: str


DAMAGED = {
    "empty": Damaged(b"", "is damaged"),
    "cut off": Damaged(b'{"schema_version": 5, "run_', "is damaged"),
    "no JSON": Damaged(b"\x00\x01\x02", "is damaged"),
    "not UTF-8": Damaged(b'{"schema_version": 5, "why": "\xff"}', "is damaged"),
    "a list": Damaged(b"[1, 2]", "not the manifest of a run"),
    "a text": Damaged(b'"schema_version"', "not the manifest of a run"),
    "somebody else's": Damaged(b'{"name": "left-pad", "version": "1.3.0"}', "not the manifest"),
    "a part is missing": Damaged(b'{"schema_version": 5}', "run_id"),
    "a part is of another type": Damaged(
        b'{"schema_version": 5, "run_id": "x", "status": 3}', r"\$\.status"
    ),
    "a later version": Damaged(b'{"schema_version": 99}', "schema version 99, .* reads 4 and 5: "),
}


@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED)
def test_damaged_manifest_is_a_run_error_that_names_file_and_damage(tmp_path, case):
    """Whatever lies there, the reader learns where, and what is wrong with it."""
    (tmp_path / MANIFEST).write_bytes(case.text)

    with pytest.raises(RunError, match=case.says) as caught:
        read_manifest(tmp_path)

    assert str(tmp_path / MANIFEST) in str(caught.value)


def test_folder_without_manifest_is_no_run(tmp_path):
    """The message says what a run directory has and this one lacks."""
    with pytest.raises(RunError, match=r"is not a run directory: it has no manifest\.json"):
        read_manifest(tmp_path)


def test_file_is_no_run(tmp_path):
    """A path to a file, such as a report, is answered like any other."""
    page = tmp_path / "10-eviction.html"
    page.touch()

    with pytest.raises(RunError, match="is not a run directory"):
        read_manifest(page)


def test_manifest_that_cannot_be_opened_is_a_run_error(tmp_path):
    """Here a folder stands in its place."""
    (tmp_path / MANIFEST).mkdir()

    with pytest.raises(RunError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path)


def test_status_that_no_run_can_have_is_damage(tmp_path):
    """A status that is not known cannot be taken for complete."""
    run = make_run(tmp_path, status="complete")
    content = json.loads((run.path / MANIFEST).read_text())
    (run.path / MANIFEST).write_text(json.dumps({**content, "status": "compleat"}))

    with pytest.raises(RunError, match="'compleat'; did you mean 'complete'"):
        read_manifest(run.path)


def test_manifest_is_read_back_as_it_was_written(tmp_path):
    """Nothing of the circumstances is lost on the way to the disk."""
    written = make_run(tmp_path, status="failed", host={"cores": 2}).manifest

    assert read_manifest(tmp_path) == written


def test_manifest_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    """A crash in mid-write must not turn a sealed run into a damaged one."""
    manifest = make_run(tmp_path).manifest
    before = (tmp_path / MANIFEST).read_bytes()
    monkeypatch.setattr(msgspec.json, "format", lambda *_, **__: b'{"half')
    monkeypatch.setattr("pathlib.Path.replace", _power_fails)

    with pytest.raises(OSError, match="power"):
        write_manifest(tmp_path, manifest)

    assert (tmp_path / MANIFEST).read_bytes() == before


def _power_fails(*_):
    raise OSError("power is gone")
