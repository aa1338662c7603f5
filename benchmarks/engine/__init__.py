"""How near a run comes to vLLM itself: `python -m benchmarks.engine` on the real engine.

One vLLM is loaded, then runs of ours and a bare loop use it in turn, its prefix cache emptied
before each. Ours is a whole run of the quick start's pipeline: rollouts, filters, commits. The
bare loop is an `AsyncLLM` that is given the prompts of that very run as ready tokens, asks for
exactly as many tokens as were answered, and keeps the order within each conversation; it is tried
with several numbers of conversations at once, and the best one is the floor.

Decoding is not constrained here, in neither: a forced length and a grammar exclude each other. On a
CPU vLLM draws without seeds, so each run of ours differs a little, and is held against the bare
loop on its own prompts.
"""
