"""How long a run takes in which one task in twenty takes ten times as long as the others.

`python -m benchmarks.tail` plays tasks on a scripted engine that answers after a fixed time, ten
times as long for one task in twenty, so the processor has little to do. The bound is list
scheduling: each free place takes the next task of the plan at once, and nothing else takes time.
Counted is from the first request to the manifest, so with all filters and commits. A barrier, a
window that is too small or a place that stays empty shows as time over the bound.
"""
