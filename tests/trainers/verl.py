"""verl 0.9: its multi-turn data set, by the class that comes with the view."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tests.trainers import bare, stand_in

bare("verl", "verl.utils", "verl.utils.dataset", "verl.utils.tokenizer")
stand_in("omegaconf", DictConfig=dict, ListConfig=list)
stand_in("verl.models")
stand_in("verl.models.transformers")
stand_in("verl.models.transformers.qwen2_vl", get_rope_index=None)
stand_in("verl.utils.dataset.vision_utils", process_image=None, process_video=None)
stand_in("verl.utils.fs", copy_local_path_from_hdfs=lambda path, **_: path)
sys.modules["verl.utils"].hf_tokenizer = None  # type: ignore[attr-defined]


class _PadMode:
    RIGHT, NO_PADDING = "right", "no_padding"


stand_in("verl.utils.dataset.dataset_utils", DatasetPadMode=_PadMode)


def main(view: str, trl: str, model: str, template: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = Path(template).read_text("utf-8")
    spec = importlib.util.spec_from_file_location("trajectories", Path(view, "trajectories.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = {"pad_mode": "no_padding", "max_length": 100_000, "ignore_input_ids_mismatch": True}
    made = module.Trajectories(_files(view), tokenizer, config)
    originals = _originals(trl)
    assert len(made) == len(originals)
    whole = 0
    for at, (messages, tools) in enumerate(originals):
        assert made.messages[at] == messages
        row = made[at]
        assert 0 < int(row["loss_mask"].sum()) < len(row["input_ids"])
        if not _parallel(messages):  # else it is not the template's text, as verl says itself
            text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
            assert row["input_ids"].tolist() == tokenizer.encode(text, add_special_tokens=False)
            whole += 1
    sys.stdout.write(json.dumps({"rows": len(made), "whole": whole}))


def _parallel(messages: list[dict[str, Any]]) -> bool:
    return any(len(message.get("tool_calls", ())) > 1 for message in messages)


def _files(view: str) -> list[str]:
    return [str(path) for path in sorted(Path(view, "train").iterdir())]


def _originals(trl: str) -> list[tuple[Any, Any]]:
    import pandas

    frame = pandas.concat([pandas.read_parquet(path) for path in _files(trl)])
    rows = zip(frame["messages"], frame["tools"], strict=True)
    return [([json.loads(m) for m in row], [json.loads(t) for t in tools]) for row, tools in rows]


if __name__ == "__main__":
    main(*sys.argv[1:])
