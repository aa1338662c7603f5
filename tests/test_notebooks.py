"""The shipped notebooks run in an empty folder (slow), and what they show can be published.

TRAJGEN_UPDATE_DOCS=1 writes their outputs anew instead of leaving them as they are.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.small_pipeline import REPO

NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
UPDATE = "TRAJGEN_UPDATE_DOCS" in os.environ
LIMIT_S = 300


def cells(path: Path) -> list[dict[str, Any]]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]


def test_there_are_three() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_a_notebook_shows_can_be_published(path: Path) -> None:
    text = path.read_text("utf-8")
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert len(outputs) > 3
    assert all(cell["execution_count"] for cell in cells(path)), "TRAJGEN_UPDATE_DOCS=1 runs it"
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert re.findall(r"(?<![\w.\"`:<])/(?:work|tmp|root|home|mnt)\b", text) == []
    assert not {"<script", WIDGET} & set(re.findall(rf"<script|{re.escape(WIDGET)}", text))
    assert len(text) < 500_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([\w./]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_in_an_empty_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    bin_ = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "desk").mkdir()
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path / "desk")}}
    NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3", resources=where).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count
            cell.outputs = [_published(output) for output in cell.outputs if _is_shown(output)]
            cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    if UPDATE:
        nbformat.write(notebook, path)


def _is_shown(output: dict[str, Any]) -> bool:
    """Progress is for whoever waits: what goes to stderr, and bars, which are text or a widget."""
    bar = output["output_type"] == "display_data" and not {"text/html", "image/png"} & {
        *output["data"]
    }
    return output.get("name") != "stderr" and not bar


def _published(output: dict[str, Any]) -> Any:
    """An output without the widget, which a page without a kernel cannot show, and as plain
    text where a command coloured it for a terminal."""
    output.get("data", {}).pop(WIDGET, None)
    if "text" in output:
        output["text"] = re.sub(r"\x1b\[[0-9;]*m| +(?=\r?$)", "", output["text"], flags=re.M)
    return output
