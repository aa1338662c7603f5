"""vLLM in process: AsyncLLM beside the rollouts, on GPU or CPU, without a port.

Chat templates are applied here, prefix caching is on, and `schema` constrains decoding.

Crash rule: the engine core is a child process. When it dies every waiting request raises
EngineDead, and the driver starts a fresh worker; nothing is kept here that could be lost.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajgen import telemetry
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request, doors, leash
from trajgen.engines.adapters import RANKS, folder_of, rank, room
from trajgen.engines.concurrency import IN_FLIGHT_PER_SEQ, ConcurrencyLimit
from trajgen.errors import (
    EngineDead,
    InputError,
    MachineError,
    PromptTooLong,
    RequestError,
    Timeout,
)
from trajgen.models import cache_folder, local_path
from trajgen.records import Message, Tool
from trajgen.scratch import scratch

if TYPE_CHECKING:
    from trajgen.engines.tokens import TokenCounter

_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}
CLOSE_S = 2.0  # for vLLM's processes to end by themselves
# One engine is on one node: what its processes say to each other stays there.
_ON_LOOPBACK = {
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}
SHORTEST_ANSWER = 16  # tokens; with less room left in the context a prompt is too long


class VllmEngine:
    """One model, served by `tensor_parallel_size` GPUs or this machine's CPU."""

    def __init__(self, config: EngineConfig, adapters: tuple[str, ...] = ()) -> None:
        self.config = config
        self.model = config.model
        self._adapters = {name: number for number, name in enumerate(adapters, 1)}
        self._folders = {name: name for name in adapters}
        self._rank = RANKS[-1]
        self._llm: Any = None
        self._held = ExitStack()
        self._tokenizer: Any = None
        self._counter: TokenCounter | None = None
        self._own_tokens: re.Pattern[str] | None = None
        self._max_len = 0
        self._seeded = True
        self._concurrency = ConcurrencyLimit(math.ceil(IN_FLIGHT_PER_SEQ * config.max_num_seqs))

    @property
    def share(self) -> float:
        """Of the requests it is set up for, how many fit into the KV cache at once: 0 to 1."""
        return self._concurrency.share

    async def start(self) -> None:
        """Load the model. Raises InputError (no such model) or MachineError."""
        telemetry.off()
        path = local_path(self.config.model)
        if path != self.config.model:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it is in the cache, whole
        for name, value in (_QUIET | _ON_LOOPBACK).items():
            os.environ.setdefault(name, value)
        # Not below TMPDIR, which is gone with the engine: it makes the next start faster.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(self.config.cpu_kvcache_gb))
        # vLLM keeps a core free for an API server; here there is only our event loop beside it.
        os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
        os.environ.setdefault("VLLM_ENGINE_READY_TIMEOUT_S", f"{self.config.start_timeout_s:.0f}")
        try:
            await self._load(path)
        except ImportError as error:
            raise MachineError(
                f"vLLM does not work here ({error})",
                fix="Install the extra `cpu` or `gpu`; `trajgen doctor` says what is wrong.",
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).strip().splitlines() or [type(error).__name__]
            raise MachineError(
                f"vLLM could not load {self.config.model!r}: {first[0][:500]}",
                fix="Check the model's name, the memory it needs and `trajgen doctor`.",
            ) from error

    async def _load(self, path: str) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        from trajgen.engines.tokens import TokenCounter, own_tokens

        if self._adapters:
            self._folders = {name: folder_of(name) for name in self._adapters}
            self._rank = room(rank(Path(folder)) for folder in self._folders.values())
        args = self.engine_args(path)
        # Offline use, as this is: without saying so vLLM computes 2,048 tokens of prompts at a
        # time on any GPU, a fraction of its own choice for large ones (16,384 on an H100).
        context = UsageContext.LLM_CLASS
        if _on_cpu():
            context = UsageContext.ENGINE_CONTEXT
            args["dtype"] = _cpu_dtype(self.config.dtype)
            # vLLM 0.32 on CPU: a seeded request whose prompt is computed in pieces kills the
            # engine ("CPU Generator does not use offset"); so the requests share a generator.
            self._seeded = False
        with leash.held(self._held.enter_context(scratch())):
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**args),
                usage_context=context,
                stat_loggers=[_preemptions(self._concurrency.crowded)],
            )
        if self.config.tensor_parallel_size == 1:
            await self._llm.collective_rpc("shut_doors")
        self._max_len = self._llm.model_config.max_model_len
        self._tokenizer = self._llm.get_tokenizer()
        if asyncio.iscoroutine(self._tokenizer):
            self._tokenizer = await self._tokenizer
        self._counter = TokenCounter(self._tokenizer)
        self._own_tokens = own_tokens(self._tokenizer)

    def engine_args(self, path: str) -> dict[str, Any]:
        """The settings given to vLLM's `AsyncEngineArgs`."""
        config = self.config
        args: dict[str, Any] = {
            "model": path,
            "revision": config.revision,
            "dtype": config.dtype,
            "quantization": config.quantization,
            "max_model_len": config.max_model_len,
            "max_num_seqs": config.max_num_seqs,
            "tensor_parallel_size": config.tensor_parallel_size,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "enforce_eager": config.enforce_eager,
            "enable_prefix_caching": True,
            "enable_log_requests": False,
            "disable_log_stats": True,
            "trust_remote_code": False,
            "load_format": "safetensors",
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            "worker_extension_cls": doors.EXTENSION,
        }
        if self._adapters:
            # On a CPU vLLM lends the last place for an adapter to requests without one: it stays
            # empty.
            most = {"max_loras": len(self._adapters) + 1, "max_lora_rank": self._rank}
            args |= {"enable_lora": True, **most}
        return {key: value for key, value in args.items() if value is not None}

    async def complete(self, request: Request) -> Completion:
        """One completion; a cancelled or late request is aborted in the engine as well."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        tokens = self._prompt(request)
        try:
            async with asyncio.timeout(self.config.timeout_s), self._concurrency:
                completion = await self._generate(request, tokens)
        except TimeoutError as error:
            raise Timeout(f"no answer within {self.config.timeout_s:g} s", request.id) from error
        except EngineDeadError as error:
            raise EngineDead("vLLM's engine process died", request.id) from error
        except (VLLMClientError, EngineGenerateError, ValueError) as error:
            raise RequestError(f"vLLM refuses the request: {error}"[:600], request.id) from error
        self._concurrency.answered()
        return completion

    async def _generate(self, request: Request, tokens: list[int]) -> Completion:
        stream = self._llm.generate(
            {"prompt_token_ids": tokens},
            self._sampling(request, len(tokens)),
            request.id,
            lora_request=self._adapter(request),
        )
        outputs = [output async for output in stream]  # one: FINAL_ONLY
        if len(outputs) != 1 or len(outputs[0].outputs) != 1:
            raise EngineDead(f"vLLM gave {len(outputs)} answers to one request", request.id)
        output, best = outputs[0], outputs[0].outputs[0]
        return Completion(
            text=best.text,
            finish="length" if best.finish_reason == "length" else "stop",
            prompt_tokens=len(tokens),
            generated_tokens=len(best.token_ids),
            cached_tokens=output.num_cached_tokens or 0,
            request_id=output.request_id,
        )

    def _prompt(self, request: Request) -> list[int]:
        for message in request.messages if self._own_tokens else ():
            if self._own_tokens and (found := self._own_tokens.search(message["content"])):
                what = f"the prompt would hold {found[0]!r}, a special token of {self.model}"
                raise RequestError(what, request.id)
        tokens: list[int] = self._tokenizer.apply_chat_template(
            list(request.messages),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            enable_thinking=False,
        )
        if len(tokens) + SHORTEST_ANSWER > self._max_len:
            raise PromptTooLong(f"prompt takes {len(tokens)} of {self._max_len} tokens", request.id)
        return tokens

    def _sampling(self, request: Request, prompt_tokens: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        guided = request.schema is not None and self.config.structured_output
        return SamplingParams(
            max_tokens=min(request.max_tokens, self._max_len - prompt_tokens),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed if self._seeded else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(json=dict(request.schema or {}))
            if guided
            else None,
        )

    def _adapter(self, request: Request) -> Any:
        if request.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        if request.adapter not in self._adapters:
            raise InputError(f"adapter {request.adapter!r} was not named when the engine started")
        number, folder = self._adapters[request.adapter], self._folders[request.adapter]
        return LoRARequest(request.adapter, number, folder)

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens of each message in the model's chat template."""
        if self._counter is None:
            raise MachineError("the engine counts tokens only after it has started")
        return self._counter.count(messages, tools)

    async def close(self) -> None:
        """Stop the engine and its child processes."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown(timeout=CLOSE_S)
        self._held.close()


def _preemptions(crowded: Callable[[], None]) -> Any:
    """What vLLM calls with its statistics of each step: it hears of preempted requests."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Preemptions(StatLoggerBase):  # type: ignore[misc]  # vLLM has no types here
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if iteration_stats is not None and iteration_stats.num_preempted_reqs:
                crowded()

        def log_engine_initialized(self) -> None:
            pass

    return Preemptions


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _cpu_dtype(dtype: str) -> str:
    """`auto` on a CPU: without AVX-512, bfloat16 is emulated and costs eight times float32."""
    import torch

    if dtype == "auto" and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return "float32"
    return dtype
