"""The openai engine against an endpoint that misbehaves, and the counting of tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pickle
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import SecretStr

from tests.mock_endpoint import TRANSIENT, MockEndpoint
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request, make_engine, openai, tokens
from trajgen.engines.openai import OpenAIEngine, connection
from trajgen.engines.openai.answers import retry_after
from trajgen.errors import (
    EngineDead,
    InputError,
    MachineError,
    PromptTooLong,
    RequestError,
    Timeout,
)
from trajgen.json_text import received, sent

KEY = "canary-7d1f0c-secret"
SCHEMA = {"type": "object", "properties": {"say": {"type": "string"}}}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", 0.01)
    monkeypatch.setattr(connection, "BACKOFF_CAP_S", 0.05)


def config(url: str, **more: Any) -> EngineConfig:
    settings: dict[str, Any] = {"model": "mock", "retries": 3, "timeout_s": 5}
    return EngineConfig(kind="openai", base_url=url, **(settings | more))


def request(text: str = "hello there", **more: Any) -> Request:
    settings: dict[str, Any] = {"seed": 7, "max_tokens": 50}
    messages = ({"role": "user", "content": text},)
    return Request(id="t/agent/0/1", role="agent", messages=messages, **(settings | more))


@contextlib.asynccontextmanager
async def served(endpoint: MockEndpoint, **more: Any) -> AsyncIterator[OpenAIEngine]:
    async with endpoint:
        engine = make_engine(config(endpoint.url, **more))
        assert isinstance(engine, OpenAIEngine)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


def ask(endpoint: MockEndpoint, asked: Request | None = None, **more: Any) -> Completion:
    async def play() -> Completion:
        async with served(endpoint, **more) as engine:
            return await engine.complete(asked or request())

    return asyncio.run(play())


def first(*faults: str) -> Any:
    """Faults of the first requests; all later ones are answered."""
    return lambda n, body: faults[n] if n < len(faults) else None


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_answer_with_its_counts_and_everything_that_was_asked() -> None:
    endpoint = MockEndpoint()
    asked = request(schema=SCHEMA, temperature=0.5, top_p=0.8)
    completion = ask(endpoint, asked, api_key=SecretStr(KEY + "\n"))
    assert completion == Completion("hello there", "stop", 2, 2, 1)
    headers, body = endpoint.seen[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "agent", "schema": SCHEMA, "strict": True},
    }
    assert body == {
        "model": "mock",
        "messages": [{"role": "user", "content": "hello there"}],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.8,
        "seed": 7,
    }


def test_no_schema_is_sent_without_structured_output_and_adapters_are_models() -> None:
    endpoint = MockEndpoint()
    ask(endpoint, request(schema=SCHEMA, adapter="tuned"), structured_output=False)
    assert "response_format" not in endpoint.seen[0][1]
    assert endpoint.seen[0][1]["model"] == "tuned"
    assert "Authorization" not in endpoint.seen[0][0]


def test_an_answer_cut_by_max_tokens_says_so() -> None:
    assert ask(MockEndpoint(), request("a b c d", max_tokens=2)).finish == "length"


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": "many", "completion_tokens": -1}])
def test_missing_usage_is_estimated(usage: Any) -> None:
    completion = ask(MockEndpoint(usage=usage), request("twelve bytes"))
    assert (completion.prompt_tokens, completion.generated_tokens) == (3 + 4, 3)
    assert completion.cached_tokens == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}], "in parts"),
        ("half \ud83d a pair", "half ? a pair"),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
)
def test_odd_contents(content: Any, text: str) -> None:
    assert ask(MockEndpoint(answer=lambda body: content)).text == text


@pytest.mark.parametrize("fault", [*TRANSIENT, "not_utf8", "408", "409", "502"])
def test_what_may_pass_is_tried_again(fault: str) -> None:
    endpoint = MockEndpoint(fault=first(fault, fault))
    assert ask(endpoint).text == "hello there"
    assert len(endpoint.seen) == 3
    assert endpoint.seen[0][1] == endpoint.seen[2][1]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_does_not_pass_is_a_timeout_after_all_tries(fault: str) -> None:
    endpoint = MockEndpoint(fault=lambda n, body: fault)
    with pytest.raises(Timeout):
        ask(endpoint, retries=1)
    assert len(endpoint.seen) == 2


def test_retry_after_is_kept() -> None:
    begun = time.monotonic()
    ask(MockEndpoint(fault=first("429")))
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3", 3, 3),
        ("1e9", 120, 120),
        ("-5", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120, 120),
        ("", 0, 0),
    ],
)
def test_retry_after_values(text: str, low: float, high: float) -> None:
    assert low <= retry_after({"Retry-After": text}) <= high


def test_waits_grow_and_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", 1.0)
    monkeypatch.setattr(connection, "BACKOFF_CAP_S", 8.0)
    longest = [max(connection.pause(n, 0.0) for _ in range(200)) for n in range(6)]
    assert all(w <= 2**n for n, w in enumerate(longest[:4]))
    assert longest[0] < longest[2] < longest[3] <= 8
    assert longest[5] <= 8
    assert connection.pause(10_000, 1.0) <= 9


def test_a_slow_answer_is_a_timeout() -> None:
    begun = time.monotonic()
    with pytest.raises(Timeout, match=r"no answer within 0\.2 s"):
        ask(MockEndpoint(fault=lambda n, body: "slow"), timeout_s=0.2, retries=1)
    assert time.monotonic() - begun < 2


def test_an_endpoint_that_goes_away_is_a_dead_engine_and_lives_again() -> None:
    async def play() -> None:
        endpoint = await MockEndpoint().start()
        engine = OpenAIEngine(config(endpoint.url, retries=1))
        await engine.start()
        await endpoint.close()
        with pytest.raises(EngineDead, match="cannot be reached"):
            await engine.complete(request())
        await endpoint.start(endpoint.port)
        await engine.start()
        assert (await engine.complete(request())).text == "hello there"
        await engine.close()
        with pytest.raises(EngineDead, match="not started"):
            await engine.complete(request())
        await engine.close()
        await endpoint.close()

    asyncio.run(play())


def test_closing_ends_what_is_under_way() -> None:
    async def play() -> None:
        async with served(MockEndpoint(fault=lambda n, body: "slow")) as engine:
            waiting = asyncio.create_task(engine.complete(request()))
            await asyncio.sleep(0.1)
            await engine.close()
            with pytest.raises((EngineDead, Timeout)):
                await asyncio.wait_for(waiting, 2)

    asyncio.run(play())


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "413", "307"])
def test_other_refusals_are_request_errors_and_never_show_the_key(status: str) -> None:
    endpoint = MockEndpoint(fault=lambda n, body: status)
    with pytest.raises(RequestError) as caught:
        ask(endpoint, api_key=SecretStr(KEY))
    error = caught.value
    assert status in str(error)
    assert "***" in str(error)  # the endpoint repeats the header in its message
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert KEY not in shown
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert len(endpoint.seen) == (2 if status == "400" else 1)


def test_the_key_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = MockEndpoint(fault=lambda n, body: "500" if n < 2 else "401")
    with pytest.raises(RequestError):
        ask(endpoint, api_key=SecretStr(KEY))
    engine = OpenAIEngine(config("http://127.0.0.1:1/v1", api_key=SecretStr(KEY)))
    assert KEY not in caplog.text + repr(engine) + repr(engine._config)


def test_a_full_context_has_its_own_type() -> None:
    endpoint = MockEndpoint(fault=lambda n, body: "too_long")
    with pytest.raises(PromptTooLong, match="too many tokens"):
        ask(endpoint, request(schema=SCHEMA))
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("field", ["response_format", "seed"])
def test_a_refused_field_is_left_out_from_then_on(
    field: str, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fault = f"refuse {field}" if named else "refused"
    endpoint = MockEndpoint(fault=lambda n, body: fault if field in body else None)

    async def play() -> None:
        async with served(endpoint) as engine:
            for _ in range(3):
                completion = await engine.complete(request(schema=SCHEMA))
                assert completion.text == "hello there"

    asyncio.run(play())
    left_out = [field not in body for _, body in endpoint.seen]
    kept = {"response_format": "seed", "seed": "response_format"}[field]
    assert left_out[0] is False
    assert left_out[-3:] == [True, True, True]
    assert all(kept in body for _, body in endpoint.seen[-3:])
    assert len(endpoint.seen) <= 5
    assert caplog.text.count("asking without it") == 1


def test_a_server_may_refuse_both_and_may_have_renamed_max_tokens() -> None:
    unknown = ("response_format", "seed")
    endpoint = MockEndpoint(
        fault=lambda n, body: "refused" if any(name in body for name in unknown) else None
    )
    assert ask(endpoint, request(schema=SCHEMA)).text == "hello there"
    renamed = MockEndpoint(
        fault=lambda n, body: "refuse max_tokens" if "max_tokens" in body else None
    )
    assert ask(renamed).text == "hello there"
    assert renamed.seen[-1][1]["max_completion_tokens"] == 50


def test_one_refused_schema_does_not_end_structured_output() -> None:
    poison = {"type": "object", "properties": {"bad": {"type": "string"}}}

    def fault(n: int, body: dict[str, Any]) -> str | None:
        return "refused" if "bad" in json.dumps(body.get("response_format")) else None

    async def play(endpoint: MockEndpoint) -> None:
        async with served(endpoint) as engine:
            for schema in (SCHEMA, poison, SCHEMA):
                await engine.complete(request(schema=schema))

    endpoint = MockEndpoint(fault=fault)
    asyncio.run(play(endpoint))
    assert ["response_format" in body for _, body in endpoint.seen] == [True, True, False, True]


def test_an_endpoint_that_takes_fewer_is_given_fewer() -> None:
    """It takes 8 at once and refuses what is over that; 64 connections would be open to it."""
    refused: list[int] = []

    def fault(n: int, body: dict[str, Any]) -> str | None:
        if endpoint._now > 8:
            refused.append(n)
            return "503"
        return None

    endpoint = MockEndpoint(fault=fault, latency=lambda n: 0.005)
    shares: list[float] = []

    async def play() -> list[Completion]:
        async with served(endpoint, max_num_seqs=64, retries=60) as engine:
            assert engine.share == 1.0

            async def one(i: int) -> Completion:
                answer = await engine.complete(request(f"question {i}", seed=i))
                shares.append(engine.share)
                return answer

            return await asyncio.gather(*(one(i) for i in range(800)))

    answers = asyncio.run(play())
    assert [answer.text for answer in answers] == [f"question {i}" for i in range(800)]
    later = [share * 64 for share in shares[200:]]
    assert 3 <= min(later) <= max(later) <= 16
    asked = len(endpoint.seen)
    assert sum(n >= asked // 2 for n in refused) < 0.2 * (asked / 2)


def test_parallel_requests_never_cross_and_stay_within_the_bound() -> None:
    def fault(n: int, body: dict[str, Any]) -> str | None:
        return TRANSIENT[n % len(TRANSIENT)] if n % 5 == 0 else None

    endpoint = MockEndpoint(fault=fault, latency=lambda n: (n * 7 % 10) / 500)

    async def play() -> list[Completion]:
        async with served(endpoint, max_num_seqs=16, retries=20) as engine:
            asked = [engine.complete(request(f"question {i}", seed=i)) for i in range(64)]
            return await asyncio.gather(*asked)

    answers = asyncio.run(play())
    assert [answer.text for answer in answers] == [f"question {i}" for i in range(64)]
    assert endpoint.busiest <= 16
    assert all(
        body["messages"][-1]["content"] == f"question {body['seed']}" for _, body in endpoint.seen
    )


def start_error(endpoint: MockEndpoint, **more: Any) -> MachineError:
    async def play() -> None:
        async with served(endpoint, **more):
            pass

    with pytest.raises(MachineError) as caught:
        asyncio.run(play())
    return caught.value


def test_an_unknown_model_is_told_with_what_is_offered() -> None:
    error = start_error(MockEndpoint(models=("small", "large")))
    assert "'mock' is not served" in error.what
    assert "small, large" in error.fix


def test_the_only_model_is_taken_and_adapters_are_not_models() -> None:
    async def play(*models: Any) -> str:
        async with served(MockEndpoint(models=models), model="") as engine:
            return engine.model

    assert asyncio.run(play("only")) == "only"
    assert asyncio.run(play("base", {"id": "tuned", "parent": "base"})) == "base"
    assert "no model is named" in start_error(MockEndpoint(models=("a", "b")), model="").what
    assert "no model is named" in start_error(MockEndpoint(models=None), model="").what


def test_adapters_must_be_served() -> None:
    async def play(*adapters: str) -> None:
        models = ("mock", {"id": "tuned", "parent": "mock"})
        async with MockEndpoint(models=models) as endpoint:
            engine = make_engine(config(endpoint.url), adapters)
            try:
                await engine.start()
            finally:
                await engine.close()

    asyncio.run(play("tuned"))
    with pytest.raises(MachineError, match="'other' is not served"):
        asyncio.run(play("tuned", "other"))


def test_a_server_without_a_list_is_taken_at_its_word() -> None:
    assert ask(MockEndpoint(models=None)).text == "hello there"


def test_a_server_that_loads_is_waited_for() -> None:
    assert ask(MockEndpoint(list_statuses=(503,) * 8), retries=1).text == "hello there"


def test_a_key_that_is_refused_stops_the_start() -> None:
    error = start_error(MockEndpoint(list_statuses=(401,)))
    assert "401" in error.what
    assert "api_key" in error.fix


def test_an_endpoint_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1"
    with pytest.raises(MachineError) as caught:
        asyncio.run(OpenAIEngine(config(url, retries=1)).start())
    assert url in str(caught.value)
    assert "base_url" in caught.value.fix


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "ftp://host/v1"])
def test_a_wrong_url_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError):
        OpenAIEngine(config(url))


def test_a_key_that_no_header_carries_is_an_input_error() -> None:
    with pytest.raises(InputError) as caught:
        OpenAIEngine(config("http://host/v1", api_key=SecretStr("two\nlines")))
    assert "two" not in str(caught.value)


def test_the_endpoint_runs_on_its_own() -> None:
    command = [sys.executable, "-m", "tests.mock_endpoint", "--port", "0", "--fault-rate", "0.3"]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def play() -> list[str]:
            engine = OpenAIEngine(config(f"http://127.0.0.1:{port}/v1", retries=20))
            await engine.start()
            asked = [engine.complete(request(f"q{i}")) for i in range(20)]
            answers = await asyncio.gather(*asked)
            await engine.close()
            return [answer.text for answer in answers]

        assert asyncio.run(play()) == [f"q{i}" for i in range(20)]
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


CONVERSATION = (
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "where is order W1 now"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_order", "arguments": {"id": "W1"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "on its way to you"},
    {"role": "assistant", "content": "it is on its way"},
)
TOOLS = (
    {
        "type": "function",
        "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}},
    },
)
PLAIN = "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|>\n{% endfor %}"
WITH_TOOLS = (
    "{% if tools %}<|tools|> {{ tools | tojson }} <|end|>\n{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}"
    "{% for c in m.tool_calls or [] %} <call> {{ c.function.name }}"
    " {{ c.function.arguments | tojson }}{% endfor %} <|end|>\n{% endfor %}"
)
TEXT_ARGUMENTS = WITH_TOOLS.replace(
    "{{ c.function.arguments | tojson }}", "{{ 'args ' + c.function.arguments }}"
)
NEEDS_USER = "{% if messages | length == 1 and messages[0].role == 'system' %}" + (
    "{{ raise_exception('a user must speak') }}{% endif %}" + WITH_TOOLS
)
NO_TOOL_ROLE = "{% for m in messages %}{% if m.role == 'tool' %}" + (
    "{{ raise_exception('no tools here') }}{% endif %}{% endfor %}" + PLAIN
)
STRICT = "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}" + (
    "{{ raise_exception('only two roles') }}{% endif %}{% endfor %}" + PLAIN
)
LAST_IS_OTHER = "{% for m in messages %}<|{{ m.role }}|> {% if loop.last %}last {% endif %}" + (
    "{{ m.content }} <|end|>\n{% endfor %}"
)


class Words:
    """A tokenizer whose tokens are the words between blanks."""

    def __init__(self, template: str | None) -> None:
        self.template, self.sizes = template, list[int]()

    def apply_chat_template(self, messages: Any, tools: Any = None, **more: Any) -> str:
        if self.template is None:
            raise ValueError("no template")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = raise_exception
        return environment.from_string(self.template).render(messages=messages, tools=tools)

    def encode(self, text: str, **more: Any) -> list[str]:
        self.sizes.append(len(text))
        return text.split()


def raise_exception(text: str) -> None:
    raise TemplateError(text)


def counter(template: str | None) -> tokens.TokenCounter:
    return tokens.TokenCounter(Words(template))


def whole(template: str) -> int:
    return len(Words(template).apply_chat_template(list(CONVERSATION)).split())


def test_shares_of_a_template_with_tools() -> None:
    counts = counter(WITH_TOOLS).count(CONVERSATION)
    assert counts == [4, 7, 6, 7, 7]
    assert sum(counts) == whole(WITH_TOOLS)


def test_tools_count_with_the_first_message() -> None:
    counting = counter(WITH_TOOLS)
    without, with_tools = counting.count(CONVERSATION), counting.count(CONVERSATION, TOOLS)
    rendered = len(json.dumps(list(TOOLS)).split()) + 2
    assert with_tools[0] - without[0] == rendered
    assert with_tools[1:] == without[1:]
    assert counting.count(CONVERSATION) == without


@pytest.mark.parametrize("template", [TEXT_ARGUMENTS, NEEDS_USER, LAST_IS_OTHER])
def test_the_sum_is_the_whole(template: str) -> None:
    counts = counter(template).count(CONVERSATION)
    assert all(count > 0 for count in counts)
    texts = {
        TEXT_ARGUMENTS: [4, 7, 6, 7, 7],
        NEEDS_USER: [2, 9, 6, 7, 7],
    }
    assert counts == texts.get(template, counts)
    if template == NEEDS_USER:
        assert sum(counts) == whole(WITH_TOOLS)


@pytest.mark.parametrize("template", [PLAIN, NO_TOOL_ROLE, STRICT, None, "{{ nothing.at.all }}"])
def test_templates_without_tools_count_calls_as_text(template: str | None) -> None:
    counts = counter(template).count(CONVERSATION, TOOLS)
    assert len(counts) == len(CONVERSATION)
    call = '{"name":"get_order","arguments":{"id":"W1"}}'
    assert counts[2] >= len(call.split()) + 2
    assert all(count >= 3 for count in counts)
    assert counts[0] > counter(template).count(CONVERSATION)[0]


def test_counting_a_long_conversation_stays_cheap() -> None:
    turns = ({"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "a b"})
    words = Words(WITH_TOOLS)
    counting = tokens.TokenCounter(words)
    assert counting.count(turns * 50) == [102, 4] * 50
    assert sum(words.sizes) < 2 * 50 * 600  # what is tokenised grows with the text, not its square


def test_nothing_and_empty() -> None:
    assert counter(PLAIN).count(()) == []
    assert tokens.estimate((), TOOLS) == []


def test_the_estimate() -> None:
    messages = ({"role": "user", "content": "é" * 6}, {"role": "assistant", "content": ""})
    assert tokens.estimate(messages) == [3 + 4, 0 + 4]
    size = len(json.dumps(list(TOOLS), separators=(",", ":")))
    assert tokens.estimate(messages, TOOLS)[0] == 3 + 4 + -(-size // 4)


def test_the_engine_counts_with_its_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(**more: Any) -> list[int]:
        async with served(MockEndpoint(), **more) as engine:
            return engine.count_tokens(CONVERSATION, ())

    assert asyncio.run(play()) == tokens.estimate(CONVERSATION)
    monkeypatch.setattr(openai, "load_tokenizer", lambda name: Words(WITH_TOOLS))
    assert asyncio.run(play(tokenizer="some/model")) == [4, 7, 6, 7, 7]


@pytest.mark.slow
def test_a_real_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    plain.pre_tokenizer = WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]")
    made.chat_template = NEEDS_USER
    made.save_pretrained(tmp_path)
    counts = tokens.TokenCounter(tokens.load_tokenizer(str(tmp_path))).count(CONVERSATION)
    assert counts == [2, 9, 6, 7, 7]
    made.chat_template = None
    made.save_pretrained(tmp_path / "bare")
    bare = tokens.TokenCounter(tokens.load_tokenizer(str(tmp_path / "bare")))
    assert len(bare.count(CONVERSATION, TOOLS)) == len(CONVERSATION)


@pytest.mark.slow
def test_a_tokenizer_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    error = start_error(MockEndpoint(), tokenizer=str(tmp_path / "none"))
    assert "none" in error.what


def test_a_body_goes_out_whole() -> None:
    turns = [("system", 'a policy: ä\ud800\n"'), ("user", "null, 1e-7")]
    schema = {"name": "agent", "schema": SCHEMA, "strict": True}
    for messages in ([{"role": role, "content": text} for role, text in turns], [], [turns[0]]):
        body = {
            "model": "mock",
            "messages": messages,
            "temperature": 0.00001,
            "seed": 2**31 - 1,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        assert list(json.loads(sent(body)).items()) == list(json.loads(json.dumps(body)).items())


@pytest.mark.parametrize("data", [b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": 1}', b'{"a": 1e400}'])
def test_what_a_server_sends_is_read_as_python_reads_it(data: bytes) -> None:
    assert repr(received(data)) == repr(json.loads(data))


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told(data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        received(data)
