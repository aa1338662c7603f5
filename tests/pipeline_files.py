"""A small pipeline file, and how it is loaded or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trajgen.config import Pipeline
from trajgen.errors import InputError
from trajgen.pipeline_file import load_pipeline

CANARY = "sk-canary-5f2e91"


def job(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "retail",
        "seeds": "seeds/retail_support",
        "target": 10,
        "engines": {"main": {"kind": "scripted"}},
        "roles": {"user": "main", "agent": "main", "world": "main"},
    }
    return {key: value for key, value in (data | changes).items() if value is not None}


def load(file: Path, data: Any = None, *overrides: str, limit: int | None = None) -> Pipeline:
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data or job()), "utf-8")
    return load_pipeline(file, list(overrides), limit)


def mistake(file: Path, data: Any = None, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load(file, data, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)
