"""Notebooks of one's own."""

import nbformat
import pytest

from workbench import checkout


@pytest.fixture
def own_notebook(tmp_path, monkeypatch):
    """Write a notebook of one's own, where notebooks are looked for."""

    def write(name, **cells):
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        for identifier, source in cells.items():
            cell = nbformat.v4.new_code_cell(source)
            cell.id = identifier
            if identifier == "parameters":
                cell.metadata["tags"] = ["parameters"]
            notebook.cells.append(cell)
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        monkeypatch.setattr(checkout, "notebooks_dir", lambda: tmp_path)

    return write
