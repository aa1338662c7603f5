"""ms-swift 4.6: its preprocessor, and its own reading of the same messages in OpenAI's form."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import datasets

from tests.trainers import bare, stand_in

bare("swift", "swift.dataset", "swift.dataset.preprocessor", "swift.agent_template")
bare("swift.infer_engine", "swift.template", "swift.utils")
stand_in("modelscope")
stand_in("modelscope.hub")
stand_in("modelscope.hub.utils")
stand_in("modelscope.hub.utils.utils", get_cache_dir=str)

from swift.utils.schema_utils import TOOL_KEYS, remove_arrow_padding  # noqa: E402

utils = sys.modules["swift.utils"]
vars(utils).update(TOOL_KEYS=TOOL_KEYS, remove_arrow_padding=remove_arrow_padding)
for name in ("get_logger", "is_dist", "is_master", "safe_ddp_context"):
    setattr(utils, name, lambda *_: None)

from swift.template.template_inputs import normalize_openai_tool_calls  # noqa: E402

vars(sys.modules["swift.template"]).update(history_to_messages=None)

from swift.dataset.preprocessor.core import MessagesPreprocessor  # noqa: E402


def main(view: str, trl: str) -> None:
    rows = 0
    read = MessagesPreprocessor()
    originals = {row["id"]: row for row in _rows(trl)}  # but for what `datasets` cannot read
    for row in _rows(view):
        tools, given = json.loads(row["tools"]), deepcopy(row)
        made = read.preprocess(given)
        read._check_messages(made)
        read._normalize_tools(made)
        assert made["messages"] == row["messages"]
        assert made["tools"] == [
            remove_arrow_padding(tool) for tool in tools
        ]  # no nulls in schemas
        rows += 1
        if original := originals.pop(row["id"], None):
            assert _rounded(tools) == _rounded(original["tools"])
            wanted = [_as_text(m) for m in normalize_openai_tool_calls(original["messages"])]
            assert [_as_text(m) for m in made["messages"]] == wanted, row["id"]
    assert not originals
    sys.stdout.write(json.dumps({"rows": rows}))


def _rows(view: str) -> Any:
    files = [str(path) for path in sorted(Path(view, "train").iterdir())]
    return datasets.load_dataset("parquet", data_files=files, split="train")


def _rounded(value: Any) -> Any:
    """As `datasets` reads numbers at the ends of a double's range."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.15g}") if abs(value) > 1e-300 else 0.0


def _as_text(message: dict[str, Any]) -> tuple[str, Any]:
    """A message as a role and a content, a call's as an object; ms-swift calls an answer `tool`
    or `tool_response`."""
    role = message["role"].replace("tool_response", "tool")
    content = message["content"]
    if role == "tool_call":
        content = _rounded(json.loads(content) if isinstance(content, str) else content)
    return role, content


if __name__ == "__main__":
    main(*sys.argv[1:])
