"""How many prompt tokens an engine computes, over the least that it could.

`python -m benchmarks.prefix` plays a pipeline, tokenises every prompt and answer in the chat
template of a model, and sends them, in the order in which they were asked, through a prefix cache
like vLLM's: whole blocks of 16 tokens, the last token of a prompt always computed, answers cached
as well. The cache is never full, so what is computed twice is the prompts' fault alone. The least
is counted token by token: what no earlier prompt or answer began with.

Both are counted twice: within each conversation alone, and over all conversations together, which
share policies, tools and examples. `--vllm` plays the quick start's pipeline on vLLM instead and
adds what the engine itself says it computed.
"""
