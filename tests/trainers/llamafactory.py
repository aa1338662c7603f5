"""LLaMA-Factory 0.9.5 on `datasets` 4.0: its data set list, its converter, its formatters."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import datasets

from tests.trainers import bare

bare("llamafactory", "llamafactory.data", "llamafactory.extras")

from llamafactory.data.converter import get_dataset_converter  # noqa: E402
from llamafactory.data.formatter import FunctionFormatter, ToolFormatter  # noqa: E402
from llamafactory.data.parser import get_dataset_list  # noqa: E402

STYLES = ("default", "qwen", "llama3", "mistral", "glm4")  # glm4 makes one call at a time
MARKS = {"thought_words": ("<think>\n", "\n</think>\n\n")}
MARKS["tool_call_words"] = ("<tool_call>", "</tool_call>")


def main(view: str) -> None:
    assert datasets.__version__ == "4.0.0"
    with open(os.path.join(view, "dataset_info.json")) as file:
        names = list(json.load(file))
    rows = calls = 0
    for attributes in get_dataset_list(names, view):
        folder = os.path.join(view, attributes.dataset_name)  # as its loader.py finds files
        files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
        data = datasets.load_dataset("parquet", data_files=files, split=attributes.split)
        convert = get_dataset_converter(attributes.formatting, attributes, SimpleNamespace())
        for row in data:
            made = convert(row)
            assert made["_prompt"], row["id"]
            assert [m["role"] for m in made["_response"]] == ["assistant"]
            calls += _formatted(made)
            rows += 1
    sys.stdout.write(json.dumps({"rows": rows, "calls": calls}))


def _formatted(made: dict[str, Any]) -> int:
    """Every call and tool list in the styles of several model families; how many calls."""
    calls = [m["content"] for m in made["_prompt"] if m["role"] == "function"]
    for style in STYLES:
        slots = ["{{content}}"]
        for text in calls:
            if style == "glm4" and "[" in text[:1] + text.partition("<tool_call>")[2][:1]:
                continue
            (shown,) = FunctionFormatter(slots=slots, tool_format=style).apply(
                content=text, **MARKS
            )
            assert shown
        if made["_tools"]:
            (shown,) = ToolFormatter(tool_format=style).apply(content=made["_tools"])
            assert shown
    return len(calls)


if __name__ == "__main__":
    main(sys.argv[1])
