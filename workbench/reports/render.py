"""render: from a notebook and a sealed run to an executed copy and a self-contained page."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import nbformat
import papermill
from jinja2 import Environment, PackageLoader, select_autoescape
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError

from workbench.checkout import find_notebook
from workbench.diagnostics.finding import Findings, evaluate, overall, remedies, sentence
from workbench.diagnostics.slo import SloFindings
from workbench.errors import ParameterError, ReportError, nearest
from workbench.runs.facts import run_facts
from workbench.runs.manifest import STATUSES
from workbench.runs.run import Run
from workbench.state.redaction import redact

__all__ = ["DEFAULT_NOTEBOOK", "read_parameters", "render"]

DEFAULT_NOTEBOOK: Final = "10-eviction"

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}

_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "int": int,
    "float": float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}


def render(
    run: Run,
    notebook: str = DEFAULT_NOTEBOOK,
    *,
    parameters: Mapping[str, Any] | None = None,
    findings: Findings | None = None,
    slo: SloFindings | None = None,
) -> Path:
    """
    Execute a notebook on a run and write the page.

    Both files are written under a temporary name first: what lies in ``report/`` is finished.

    Args:
        run: a sealed run.
        notebook: a file of ``notebooks/``, with or without its ending.
        parameters: of the notebook, besides ``run_dir``.
        findings: of the run, if they are at hand.
        slo: of the run, if it was held against objectives.

    Returns:
        the page: ``<run>/report/<notebook>.html``.

    Raises:
        ParameterError: no such notebook, one that does not report on a run, no such parameter, or
            not of its type.
        ReportError: the notebook failed; the message says in which cell, and why.
    """
    source = find_notebook(notebook)
    values = {**(parameters or {}), "run_dir": str(run.path.resolve())}
    _check_parameters(source, values)
    folder = run.path / "report"
    folder.mkdir(exist_ok=True)
    executed = _execute(source, folder, values)
    page = folder / f"{source.stem}.html"
    temporary = folder / f".{page.name}"
    temporary.write_text(_page(run, findings or evaluate(run), slo, executed))
    temporary.replace(page)
    return page


def read_parameters(notebook: str, words: Iterable[str]) -> dict[str, Any]:
    """
    Parameters of a notebook from texts such as ``"window_s=2"``, each as the type it declares.

    Raises:
        ParameterError: no such notebook, no such parameter, or not of its type.
    """
    source = find_notebook(notebook)
    known = papermill.inspect_notebook(str(source))
    values: dict[str, Any] = {}
    for word in words:
        name, given, text = word.partition("=")
        if not given:
            raise ParameterError(f"{word!r} is not a parameter; write it as name=value")
        kind = str(known[name]["inferred_type_name"]) if name in known else "str"
        try:
            values[name] = _READ.get(kind, str)(text)
        except (ValueError, KeyError):
            raise ParameterError(f"{source.name}: {name} must be a {kind}, not {text!r}") from None
    return values


def _check_parameters(source: Path, values: Mapping[str, Any]) -> None:
    # papermill only warns of an unknown parameter, and reports on the defaults.
    known = papermill.inspect_notebook(str(source))
    if "run_dir" not in known:
        raise ParameterError(
            f"{source.stem} takes no run_dir, so it does not report on a run; open it by: make lab"
        )
    for name, value in values.items():
        if name not in known:
            raise ParameterError(f"{source.name} has no parameter {name!r}{nearest(name, known)}")
        kind = str(known[name]["inferred_type_name"])
        allowed = _TYPES.get(kind)
        if allowed and (
            not isinstance(value, allowed) or isinstance(value, bool) != (kind == "bool")
        ):
            raise ParameterError(f"{source.name}: {name} must be a {kind}, not {value!r}")


def _execute(source: Path, folder: Path, values: Mapping[str, Any]) -> nbformat.NotebookNode:
    target = folder / source.name
    temporary = folder / f".{source.name}"
    # papermill's own log is noise here: what matters is raised.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            papermill.execute_notebook(
                str(source),
                str(temporary),
                parameters=dict(values),
                kernel_name="python3",
                progress_bar=False,
                cwd=str(folder),
                # ipykernel warns at each start that its loopback sockets are not encrypted, and now
                # and then logs the interrupt by which it is ended. A failed cell is raised.
                extra_arguments=["--log-level=50"],
            )
    except PapermillExecutionError as error:
        cell = _failed_cell(temporary)
        temporary.unlink(missing_ok=True)
        raise ReportError(
            f"{source.name} failed in cell {cell}: {redact(f'{error.ename}: {error.evalue}')}"
        ) from None
    except DeadKernelError as error:
        temporary.unlink(missing_ok=True)
        raise ReportError(
            f"{source.name} failed: {redact(str(error))}; its process was killed, often for want "
            "of memory"
        ) from None
    notebook: nbformat.NotebookNode = _redacted(
        nbformat.read(temporary, as_version=4)  # type: ignore[no-untyped-call]
    )
    nbformat.write(notebook, temporary)  # type: ignore[no-untyped-call]
    temporary.replace(target)
    return notebook


def _failed_cell(executed: Path) -> str:
    """The id of the cell that holds the error."""
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    return next(
        str(cell.id)
        for cell in notebook.cells
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    )


def _redacted(value: Any) -> Any:
    # Each text by itself, not the file as a whole: what is taken out of that may begin with half
    # of an escape, and what is left is no JSON.
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(member) for member in value]
    if isinstance(value, dict):
        return type(value)({key: _redacted(member) for key, member in value.items()})
    return value


def _page(
    run: Run, findings: Findings, slo: SloFindings | None, executed: nbformat.NotebookNode
) -> str:
    # The cells that the page shows itself, or that only matter to someone who edits.
    hidden = {"question", "parameters", "setup", "run", "verdict"}
    executed.cells = [
        cell
        for cell in executed.cells
        if cell.id not in hidden and "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic", exclude_input=True, mathjax_url="", require_js_url=""
    )
    body, _ = exporter.from_notebook_node(executed)
    environment = Environment(
        loader=PackageLoader("workbench.reports", "."), autoescape=select_autoescape(["j2"])
    )
    environment.filters["sentence"] = sentence
    return environment.get_template("page.html.j2").render(
        manifest=run.manifest,
        status=STATUSES[run.manifest.status],
        facts=run_facts(run),
        findings=findings,
        remedies=lambda remedy: remedies(remedy) if remedy else {},
        slo=slo,
        verdict=overall(findings, slo),
        body=body,
    )
