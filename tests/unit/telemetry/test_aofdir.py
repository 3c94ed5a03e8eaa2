"""Append-only files by hand: what is cut off, foreign or unknown is named, with its place."""

import io

import pytest

from workbench.errors import AofError
from workbench.telemetry.aofdir import read_aof_folder, read_commands
from workbench.telemetry.rdb import read_rdb

MANIFEST = "appendonly.aof.manifest"
SET = b"*3\r\n$3\r\nSET\r\n$3\r\na:b\r\n$4\r\n#\r\n*\r\n"
UNLINK = b"*3\r\n$6\r\nunlink\r\n$3\r\na:b\r\n$1\r\nc\r\n"


def folder(path, *, base=b"", increment=b"", manifest=None):
    path.mkdir(exist_ok=True)
    lines = []
    if base:
        (path / "x.1.base.rdb").write_bytes(base)
        lines.append("file x.1.base.rdb seq 1 type b")
    (path / "x.1.incr.aof").write_bytes(increment)
    lines.append("file x.1.incr.aof seq 1 type i")
    (path / MANIFEST).write_text(manifest or "\n".join(lines) + "\n")
    return path


def test_commands_are_counted_by_name_and_deletions_by_prefix(tmp_path):
    """What a value holds is not taken for a command or a time."""
    found = read_aof_folder(folder(tmp_path, increment=SET + b"#TS:17\r\n" + UNLINK + SET))

    assert found.commands == {"SET": 2, "UNLINK": 1}
    assert found.timestamps_s == (17, 17)
    assert {name: (each.written, each.unlinked) for name, each in found.prefixes.items()} == {
        "a": (2, 1),
        "": (0, 1),
    }
    assert found.increments[0].truncated_at is None


@pytest.mark.parametrize("kept", range(1, len(UNLINK)))
def test_command_that_is_cut_off_is_told_with_its_place(tmp_path, kept):
    """Wherever the disk was full or the copy was made: what was before it counts."""
    found = read_aof_folder(folder(tmp_path, increment=SET + UNLINK[:kept]))

    assert found.commands == {"SET": 1}
    assert found.increments[0].truncated_at == len(SET)


@pytest.mark.parametrize("junk", [b"hello world\r\n", b"*x\r\n", b"*1\r\n+OK\r\n", b"\0" * 100])
def test_file_that_is_none_is_an_error_with_its_place(tmp_path, junk):
    """Somebody else's file under that name."""
    with pytest.raises(AofError, match=rf"x.1.incr.aof: what begins at byte {len(SET)}"):
        read_aof_folder(folder(tmp_path, increment=SET + junk))


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("hello\n", "line 1, names no append-only file"),
        ("file ../../etc/passwd seq 1 type i\n", "line 1, names no append-only file"),
        ("# nothing\n", "names no append-only file"),
        ("file x.2.incr.aof seq 2 type i\n", "has no x.2.incr.aof, which its manifest names"),
        ("file x.1.incr.aof seq one type i\n", "line 1, names no append-only file"),
    ],
)
def test_manifest_that_makes_no_sense_is_named(tmp_path, manifest, says):
    """With the line, or the file that is missing."""
    with pytest.raises(AofError, match=says):
        read_aof_folder(folder(tmp_path, manifest=manifest))


def test_wrong_folder_is_answered_with_the_right_one(tmp_path):
    """The one above it, one that is none, and a file from before there were folders."""
    right = folder(tmp_path / "appendonlydir")

    with pytest.raises(AofError, match=f"did you mean {right}"):
        read_aof_folder(tmp_path)
    with pytest.raises(AofError, match="is not a folder"):
        read_aof_folder(tmp_path / "missing")
    (right / MANIFEST).unlink()
    (right / "appendonly.aof").touch()
    with pytest.raises(AofError, match=r"before 7\.0"):
        read_aof_folder(right)


def test_several_manifests_in_a_folder_are_refused(tmp_path):
    """Two servers' files would be told of as one's."""
    (folder(tmp_path) / "other.manifest").touch()

    with pytest.raises(AofError, match="has several manifests: appendonly"):
        read_aof_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"ROTTEN001", "begins with b'ROTTEN001'"),
        (b"REDIS0010", "ends at byte 9,"),
        (b"REDIS0010\x63\x01a", "type 99 at byte 9 is not known here"),
        (b"REDIS0010\x16\x01a", "type 22 at byte 9 is not known here"),  # Valkey's alone
        (b"REDIS0010\x00\x01a\xc4", "a string of encoding 4 at byte 13 is not known here"),
        (b"REDIS0010\x00\xc3\x02\x40\xff\xe0\x00", "the name that ends at byte 16 is damaged"),
        (b"REDIS0010\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff", "B at byte 19: it is damaged"),
    ],
)
def test_damaged_base_is_an_error_that_names_file_and_place(tmp_path, content, says):
    """What is not known cannot be skipped, since nobody can tell where it ends."""
    with pytest.raises(AofError, match=says) as caught:
        read_aof_folder(folder(tmp_path, base=content))

    assert "x.1.base.rdb" in str(caught.value)


def test_base_without_a_checksum_is_read_and_said_to_be_unverified(tmp_path):
    """As with rdbchecksum no; one whose checksum does not hold is refused."""
    content = b"VALKEY080\xfa\x05ctime\xc2\x01\x00\x00\x00\xf8\x07\x00\x03a:b\xc0\x05\xff"

    found = read_aof_folder(folder(tmp_path, base=content + bytes(8)))

    assert found.checked is None
    assert found.header.made_unix_s == 1
    assert list(found.prefixes["a"].idle_s) == [7]
    with pytest.raises(AofError, match="its checksum is not that of its content"):
        read_aof_folder(folder(tmp_path, base=content + b"12345678"))


def test_base_of_commands_has_no_idle_times(tmp_path):
    """As with aof-use-rdb-preamble no."""
    found = read_aof_folder(folder(tmp_path, base=SET))

    assert found.header is None
    assert found.prefixes == {}


def test_name_that_was_compressed_is_read():
    """LZF: three letters as they are, then ten more from three back."""
    content = b"REDIS0010\x00\xc3\x07\x0d\x02a:b\xe0\x01\x02\xc0\x05\xff"

    _, keys = read_rdb(io.BytesIO(content))

    assert [key.name for key in keys] == [b"a:b" + b"a:ba:ba:ba"]


def test_reader_of_commands_ends_with_the_place_of_the_last():
    """For whoever reads a file by themselves."""
    commands = read_commands(io.BytesIO(SET + b"*1\r\n$4\r\nPI"))

    assert next(commands)[0] == b"SET"
    with pytest.raises(EOFError):
        next(commands)
