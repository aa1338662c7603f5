"""vLLM in process has no port."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from trajgen.config.engine import EngineConfig
from trajgen.engines import Request
from trajgen.engines.vllm import VllmEngine


def family() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_vllm_listens_nowhere() -> None:
    before = {p.pid for p in family()}

    async def look() -> tuple[set[str], int]:
        config = EngineConfig(
            kind="vllm",
            model="smollm2-135m",
            max_model_len=1024,
            max_num_seqs=4,
            cpu_kvcache_gb=1,
            enforce_eager=True,
        )
        engine = VllmEngine(config)
        await engine.start()
        try:
            fine = Request("r-1", "user", ({"role": "user", "content": "Say yes."},), 1, 8)
            assert (await engine.complete(fine)).generated_tokens > 0
            assert engine._own_tokens is None  # those of its turns are known to all
            sockets = {
                f"{p.name()} {c.laddr.ip}:{c.laddr.port}"
                for p in family()
                for c in p.net_connections("inet")
                if c.status == psutil.CONN_LISTEN
            }
            return sockets, len({p.pid for p in family()} - before)
        finally:
            await engine.close()

    sockets, processes = asyncio.run(look())
    assert processes > 0, "vLLM's engine was to be a process of its own"
    assert sockets == set()
