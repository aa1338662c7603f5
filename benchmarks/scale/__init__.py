"""How a run's books grow with its tasks: plan, bookkeeping, resume, verify.

`python -m benchmarks.scale` takes each step at 1,000, 10,000 and 100,000 tasks, with `--million` at
1,000,000 as well, each in a process of its own; its peak is the most memory that it ever held.

- **plan**: the plan is made and the folder opened.
- **books**: every task but those of the last shard is given an end and committed by the driver's
  own collector: duplicates and near copies are looked for, shards written, read back and synced.
  The ends are those of a few scripted rollouts under new ids. Their sketches are made so that two
  share a band as often as those of scripted rollouts do, which differ less than a model's.
- **resume**: `trajgen run` on that folder, from the command to the first model call, inline.
- **verify**: `trajgen verify`, which reads every byte.
"""
