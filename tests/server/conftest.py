"""What tests of whole commands share."""

import pytest

from tests.commands import ROOT
from workbench.cli import main


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """
    Carry out a command: its exit code, what it printed, and its complaints.

    It is the whole entry point, in this process: one of its own takes most of a second to start.
    ``tests.commands.workbench`` starts one, for what is killed or goes on beside the test.
    """

    def ask(*words, **environment):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        places = {"WORKBENCH_RUNS": tmp_path / "runs", "TMPDIR": tmp_path / "tmp"}
        with monkeypatch.context() as patch:
            patch.chdir(ROOT)
            patch.delenv("REDIS_STATE_URL", raising=False)
            patch.setattr("sys.argv", ["workbench", *map(str, words)])
            patch.setattr("tempfile.tempdir", None)  # it remembers where TMPDIR was
            for name, value in {**places, **environment}.items():
                patch.setenv(name, str(value))
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return ask
