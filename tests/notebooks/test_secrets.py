"""A secret that was put in everywhere comes out nowhere; with the redactor off it does."""

import base64
import re
import zlib
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from tests.capabilities import chromium
from workbench.cli import app
from workbench.errors import ReportError
from workbench.reports import execution, page, summary
from workbench.reports.render import render
from workbench.runs.manifest import read_manifest, write_manifest

CANARY = "canary7731"
URL = f"redis://:{CANARY}@10.0.0.1:6379"
TOKEN = f"eyJ{CANARY}.eyJtZW1iZXIi.c2lnbmF0dXJl"
CELLS = {
    "parameters": 'run_dir: str = "x"  # a run',
    "setup": "import os, matplotlib.pyplot as plt\nfrom workbench.plots.style import Chart\n"
    "from workbench.runs.run import open_run\nfrom workbench.runs.manifest import read_manifest\n"
    "run = open_run(run_dir)",
    "run": "run",
    "chart-printed": "print(os.environ['REDIS_STATE_URL'])\nrun.manifest",
    "chart-drawn": "figure, ax = plt.subplots()\nplt.close(figure)\n"
    "url = os.environ['REDIS_STATE_URL']\nax.set_title(f'at {url}')\nChart(figure, f'of {url}')",
}


@pytest.fixture
def marked_run(tiny_run, monkeypatch):
    """A run with the secret in its question, in why it is invalid and in a value of a state."""
    monkeypatch.setenv("REDIS_STATE_URL", URL)
    manifest = read_manifest(tiny_run.path)
    manifest.status, manifest.why = "invalid", f"{URL} refused: token={CANARY}"
    manifest.experiment["question"] = f"What does {URL} do?"
    manifest.server["state"] = {"session": TOKEN}
    write_manifest(tiny_run.path, manifest)
    return tiny_run


def shown(path):
    """What a file says: what is packed in it or drawn in its pictures as well."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        for packed in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
            with suppress(zlib.error):
                content += zlib.decompressobj().decompress(packed)
        titles = [bytes.fromhex(title.decode()) for title in re.findall(rb"<FEFF(\w+)>", content)]
        return content.decode("latin-1") + "".join(title.decode("utf-16-be") for title in titles)
    text = content.decode()
    pictures = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text)
    return text + "".join(base64.b64decode(picture).decode() for picture in pictures)


def made(run, folder):
    """Every file that the command makes, by its name, and what it printed."""
    more = ["--pdf"] if chromium() else []
    words = ["report", "tiny", "--notebook", "telling", "--markdown", folder / "told.md"]
    words += ["--out", folder / "out", *more]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    index = CliRunner().invoke(app, ["report", "--index"], catch_exceptions=False)
    files = [*run.path.glob("report/*"), *folder.glob("out/*/*/*"), folder / "told.md"]
    files.append(run.path.parent / "index.html")
    return {str(path.relative_to(folder)): shown(path) for path in files} | {
        "printed": done.output + index.output
    }


def test_secret_is_in_no_artefact(own_notebook, marked_run, tmp_path):
    """Page, PDF, executed notebook, their copies, Markdown, index, and what is printed."""
    own_notebook("telling", **CELLS)

    artefacts = made(marked_run, tmp_path)

    assert len(artefacts) == (9 if chromium() else 7)
    assert [name for name, text in artefacts.items() if CANARY in text] == []
    assert "a secret was drawn in this chart" in artefacts["runs/tiny/report/telling.html"]


@pytest.mark.slow
def test_secret_is_found_with_the_redactor_off(own_notebook, marked_run, tmp_path, monkeypatch):
    """So the test above looks where it would be; what is printed is paths alone."""
    for module in (execution, page, summary):
        monkeypatch.setattr(module, "redact", str)
    own_notebook("telling", **CELLS)

    artefacts = made(marked_run, tmp_path)

    assert [name for name, text in artefacts.items() if CANARY not in text] == ["printed"]


@pytest.mark.parametrize("redacting", [True, False])
def test_secret_is_in_no_error(own_notebook, marked_run, monkeypatch, redacting):
    """A message of a library has the URL in it."""
    if not redacting:
        monkeypatch.setattr(execution, "redact", str)
    raises = "import os\nraise ConnectionError('Error 111 at ' + os.environ['REDIS_STATE_URL'])"
    own_notebook("failing", parameters=CELLS["parameters"], boom=raises)

    with pytest.raises(ReportError, match="Error 111 at") as caught:
        render(marked_run, "failing")

    assert (CANARY in str(caught.value)) is not redacting


def test_picture_is_not_taken_for_a_token():
    """Some base64 looks like one by chance; only what is drawn counts."""
    picture = base64.b64encode(b'<svg><path d="M 0771234567"/> \0\0</svg>').decode()
    text = f'<img src="data:image/svg+xml;base64,{picture}"> {URL}'

    assert execution.redacted(text) == text.replace(f":{CANARY}", "[redacted]")
