"""Files are put into a folder, near or far."""

import pytest

from workbench.errors import PlaceError, UsageError
from workbench.place import Place


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    """A folder of this machine, and one that only fsspec knows."""
    return Place(str(tmp_path / "kept") if request.param == "local" else "memory://kept")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("whole")
    return path


def test_file_is_put_into_a_folder_that_is_made(place, file):
    """And over what was there before."""
    here = place.at("run").at("report")

    for _ in range(2):
        put = here.put(file, file.name)

    assert here.read("page.html") == b"whole"
    assert here.names() == ["page.html"]
    assert str(put).endswith("run/report/page.html")


def test_folder_of_a_person_keeps_its_rights(tmp_path, file):
    """Backups are for their owner alone; what is put into a folder is for whom the folder is."""
    tmp_path.chmod(0o755)

    Place(str(tmp_path)).put(file, "copy.html")

    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_place_that_takes_nothing_is_named(tmp_path, file):
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(PlaceError, match="taken cannot be written to"):
        Place(str(tmp_path / "taken")).put(file, file.name)


def test_protocol_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 's3'"):
        Place("s33://bucket/x")
