"""The vLLM engine: what it is asked for, and, marked slow, the real one on the CPU."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from trajgen import schemas
from trajgen.config.engine import EngineConfig
from trajgen.domains import load_domain
from trajgen.engines import Request, make_engine
from trajgen.engines.adapters import folder_of, rank, room
from trajgen.engines.vllm import VllmEngine
from trajgen.errors import EngineDead, InputError, MachineError, PromptTooLong, Timeout
from trajgen.loading import shipped
from trajgen.models import cache_folder

SMALL: dict[str, Any] = {
    "kind": "vllm",
    "model": "smollm2-135m",
    "max_model_len": 2048,
    "max_num_seqs": 8,
    "enforce_eager": True,
}


def config(**changes: Any) -> EngineConfig:
    return EngineConfig(**{**SMALL, **changes})


def ask(text: str, number: int = 0, **changes: Any) -> Request:
    message = {"role": "user", "content": text}
    return Request(
        **{
            "id": f"test-{number}",
            "role": "agent",
            "messages": (message,),
            "seed": number,
            "max_tokens": 48,
            **changes,
        }
    )


def test_arguments_for_a_gpu_box() -> None:
    engine = VllmEngine(
        config(model="org/model", tensor_parallel_size=4, quantization="fp8", revision="abc")
    )
    args = engine.engine_args("org/model")
    assert args["tensor_parallel_size"] == 4
    assert args["quantization"] == "fp8"
    assert args["revision"] == "abc"
    assert args["enable_prefix_caching"] is True
    assert args["trust_remote_code"] is False
    assert args["load_format"] == "safetensors"
    assert "enable_lora" not in args


def test_adapters_turn_lora_on() -> None:
    engine = make_engine(config(model="org/model"), ("org/one", "org/two"))
    assert isinstance(engine, VllmEngine)
    args = engine.engine_args("org/model")
    assert args["enable_lora"] is True
    assert args["max_loras"] == 3  # and an empty place


def test_a_model_that_was_not_pulled(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="trajgen model pull smollm2-135m"):
        asyncio.run(VllmEngine(config()).start())


def test_counting_needs_a_started_engine() -> None:
    with pytest.raises(MachineError):
        VllmEngine(config()).count_tokens(({"role": "user", "content": "a"},), ())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_real_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    # A trainer that ran before in this process has named torch's own folder there.
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    asyncio.run(_the_real_engine())


async def _the_real_engine() -> None:
    """One engine for all checks: loading it is what costs."""
    engine = VllmEngine(config())
    await engine.start()
    try:
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache_folder() / "compiled")
        await _guided_answers_fit_their_schema(engine)
        await _a_prefix_is_cached(engine)
        await _limits_have_types(engine)
        _tokens_are_counted(engine)
        await _a_killed_engine_is_dead(engine)
    finally:
        await engine.close()
    assert not _children(), "the engine left processes behind"


async def _guided_answers_fit_their_schema(engine: VllmEngine) -> None:
    tools = load_domain(shipped("seeds") / "retail_support").tools
    for schema in (schemas.USER, schemas.action(tools), schemas.world_answer("write", True)):
        requests = [ask("Hello", n, schema=schema, max_tokens=200) for n in range(4)]
        answers = await asyncio.gather(*(engine.complete(request) for request in requests))
        whole = [answer for answer in answers if answer.finish == "stop"]
        assert whole, "every answer was cut off"
        for answer in whole:
            assert schemas.validator(schema).is_valid(json.loads(answer.text))


async def _a_prefix_is_cached(engine: VllmEngine) -> None:
    text = "The cat sat on the mat. " * 60
    await engine.complete(ask(text, 1))
    again = await engine.complete(ask(text + "And then?", 2))
    assert again.cached_tokens > 200
    assert again.prompt_tokens > again.cached_tokens


async def _limits_have_types(engine: VllmEngine) -> None:
    cut = await engine.complete(ask("Count to a thousand.", 3, max_tokens=8, temperature=0.0))
    assert (cut.finish, cut.generated_tokens) == ("length", 8)
    with pytest.raises(PromptTooLong):
        await engine.complete(ask("word " * 4000, 4))
    engine.config = config(timeout_s=0.01)
    with pytest.raises(Timeout):
        await engine.complete(ask("Count to a thousand.", 5))
    engine.config = config()


def _tokens_are_counted(engine: VllmEngine) -> None:
    messages = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "word " * 50})
    first, second = engine.count_tokens(messages, ())
    assert 1 <= first < 60
    assert 50 <= second <= 120


async def _a_killed_engine_is_dead(engine: VllmEngine) -> None:
    waiting = asyncio.ensure_future(engine.complete(ask("Tell a long story.", 6, max_tokens=1500)))
    await asyncio.sleep(1.0)
    for child in _children():
        os.kill(child, signal.SIGKILL)
    with pytest.raises(EngineDead):
        await asyncio.wait_for(waiting, 60)


def _children() -> list[int]:
    """The engine's own processes that still run."""
    import psutil

    running = psutil.Process().children(recursive=True)
    engines = [p for p in running if p.status() != psutil.STATUS_ZOMBIE]
    return [p.pid for p in engines if "VLLM" in " ".join(p.cmdline() or [p.name()])]


# Adapters.


class Cramped(VllmEngine):
    """Its KV cache is full at half of what is asked at once."""

    def engine_args(self, path: str) -> dict[str, Any]:
        return {**super().engine_args(path), "num_gpu_blocks_override": 11}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_full_cache_is_given_fewer_requests() -> None:
    async def play() -> None:
        engine = Cramped(config(max_model_len=1024))
        await engine.start()
        try:
            assert engine.share == 1.0
            story = "Tell a very long story about a kitchen, a garden and a lamp. "
            asked = [ask(story * 8, number=n, max_tokens=300) for n in range(24)]
            answers = await asyncio.gather(*map(engine.complete, asked))
            assert {a.request_id for a in answers} == {r.id for r in asked}
            assert engine.share < 1.0
        finally:
            await engine.close()

    asyncio.run(play())


def write_adapter(folder: Path, r: int) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": r}), "utf-8")
    return folder


def test_the_rank_of_an_adapter_is_read_and_given_room(tmp_path: Path) -> None:
    assert rank(write_adapter(tmp_path / "a", 12)) == 12
    assert room([12, 4]) == 16
    assert room([16]) == 16
    with pytest.raises(InputError, match="rank 600"):
        room([600])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"r": null}'])
def test_what_is_no_adapter_is_an_input_error(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match="adapter"):
        rank(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_each_role_gets_its_own_adapter(tmp_path: Path) -> None:
    """The shipped adapter answers as the household does; the model alone, and with one of
    nothing, does not, though they are in one batch and the shipped one was loaded last."""
    taught, nothing = str(shipped("adapters") / "household"), str(tmp_path / "nothing")
    zeroed(Path(taught), Path(nothing))
    sofa = {"room": "attic", "contents": {}}
    state = json.dumps({"agent": {"at": "sofa_9", "hand": {}}, "places": {"sofa_9": sofa}})
    asked = (
        {"role": "system", "content": "household: world"},
        {"role": "user", "content": f'{state}\nlook {{"place": "sofa_9"}}'},
    )

    async def answers() -> list[str]:
        engine = VllmEngine(config(), (taught, nothing))
        await engine.start()
        try:
            requests = [
                ask("", n, messages=asked, adapter=adapter, temperature=0)
                for n, adapter in enumerate((None, nothing, taught, None, taught))
            ]
            await engine.complete(requests[1])
            found = await asyncio.gather(*(engine.complete(r) for r in requests))
            return [each.text for each in found]
        finally:
            await engine.close()

    plain, same, learnt, again, also = asyncio.run(answers())
    said = "You look at sofa_9. It holds nothing."
    assert [json.loads(text)["observation"] for text in (learnt, also)] == [said, said]
    assert not any(said in text for text in (plain, same, again))


def zeroed(adapter: Path, out: Path) -> None:
    """A copy of an adapter whose matrices are all zero."""
    from safetensors.torch import load_file, save_file

    out.mkdir()
    shutil.copy(adapter / "adapter_config.json", out)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v * 0 for k, v in weights.items()}, out / "adapter_model.safetensors")


def test_a_name_that_is_no_folder_and_no_hub_id_is_an_input_error(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path)) == str(tmp_path)
    with pytest.raises(InputError, match="no such adapter"):
        folder_of("not an id")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    engine = VllmEngine(config(), (str(tmp_path / "none"),))
    with pytest.raises(InputError, match="adapter"):
        asyncio.run(engine.start())
