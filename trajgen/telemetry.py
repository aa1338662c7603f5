"""Reports of use that libraries send home: off, before any of them is imported.

Each reads its switch when it is imported or started, so whoever imports one of them says
`telemetry.off()` first. What the environment sets already is left as it is.
"""

from __future__ import annotations

import os

OFF = {
    "DO_NOT_TRACK": "1",  # vLLM, the hub client, and others that follow donottrack.sh
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, datasets and TRL send through the hub client
}


def off() -> None:
    """Switch reports off for this process and those that it starts."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
