"""One engine of a pipeline file: what decides its text, and how it is served."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from trajgen.config.model import Model

LONGEST_PAUSE_S = 150.0  # between two tries: what a server may ask for, and jitter


class EngineConfig(Model):
    """One entry of `engines:`. What decides the text is part of the run's digest; where and
    how it is served (`PLACEMENT`) is not, so a run may be resumed on other hardware."""

    kind: str
    model: str = ""
    revision: str | None = None
    max_model_len: int | None = Field(None, ge=256)
    dtype: str = "auto"
    quantization: str | None = None
    structured_output: bool = True
    script: dict[str, Any] = {}  # scripted: how well each role is played
    tokenizer: str | None = None  # openai: where tokens are counted

    replicas: int = Field(1, ge=1, le=4096)
    tensor_parallel_size: int = Field(1, ge=1, le=64)
    max_num_seqs: int = Field(64, ge=1, le=8192)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    enforce_eager: bool = False
    cpu_kvcache_gb: int = Field(2, ge=1)
    base_url: str = ""
    api_key: SecretStr | None = None
    timeout_s: float = Field(300, gt=0)
    retries: int = Field(6, ge=0, le=100)
    start_timeout_s: float = Field(1800, gt=0)

    @field_validator("base_url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("holds a user or password; give api_key: ${MY_KEY} instead")
        return url

    @property
    def answer_limit_s(self) -> float:
        """The longest that an answer may take; for an endpoint with all its tries and pauses."""
        tries = self.retries + 1 if self.kind == "openai" else 1
        return tries * self.timeout_s + (tries - 1) * LONGEST_PAUSE_S

    def written(self, key: str) -> str:
        """A key as the file has it, before variables are laid in; "" when it is not there."""
        return str(self._written.get(key, "")) if isinstance(self._written, dict) else ""

    def unread(self) -> list[str]:
        """The keys that were given and that an engine of this kind does not read."""
        read = READ_BY.get(self.kind)
        return [] if read is None else sorted(self.model_fields_set - {*ALWAYS_READ, *read})


ALWAYS_READ = ("kind", "model", "replicas", "max_num_seqs")
_SERVED = ("structured_output", "timeout_s", "start_timeout_s")
READ_BY: dict[str, tuple[str, ...]] = {
    "scripted": ("script",),
    "openai": (*_SERVED, "tokenizer", "base_url", "api_key", "retries"),
    "vllm": (
        *(*_SERVED, "revision", "max_model_len", "dtype", "quantization", "enforce_eager"),
        *("tensor_parallel_size", "gpu_memory_utilization", "cpu_kvcache_gb"),
    ),
}
PLACEMENT = (
    *("replicas", "tensor_parallel_size", "max_num_seqs", "gpu_memory_utilization"),
    *("enforce_eager", "cpu_kvcache_gb", "base_url", "api_key", "timeout_s", "retries"),
    "start_timeout_s",
)
