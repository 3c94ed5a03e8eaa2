"""What tests of whole commands share."""

import pytest

from tests.commands import workbench


@pytest.fixture
def ask(tmp_path):
    """Carry out a command; its exit code, what it printed, and its complaints."""

    def ask(*words, **environment):
        process = workbench(tmp_path, *words, **environment)
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in err
        return process.returncode, out, err

    return ask
