"""Where things lie: runs are folders of this machine."""

from pathlib import Path

import pytest

from workbench.checkout import local_folder, runs_dir
from workbench.errors import UsageError


@pytest.mark.parametrize("url", ["s3://bucket/runs", "gs://b", "memory://x", "S3+HTTP://b"])
def test_url_of_an_object_store_is_no_folder_for_runs(monkeypatch, url):
    """It would be made as a folder named s3: here, also where the second slash was lost."""
    monkeypatch.setenv("WORKBENCH_RUNS", url)

    with pytest.raises(UsageError, match=r"WORKBENCH_RUNS is .* folder of this machine"):
        runs_dir()
    with pytest.raises(UsageError, match="--out is"):
        local_folder("--out", Path(url))


@pytest.mark.parametrize("folder", ["runs", "/tmp/a:b/runs", "./s3:x", "c:x"])
def test_folder_with_a_colon_is_one(monkeypatch, folder):
    """Only what begins as a URL does is refused."""
    monkeypatch.setenv("WORKBENCH_RUNS", folder)

    assert runs_dir() == Path(folder)
