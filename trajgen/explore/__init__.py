"""Real transitions of a world, collected with a mix of behaviour policies.

policies.py   seeds -> plays: whose policy, and what each step is to be
standing.py   where in a state the values of each argument stand, learnt from the seeds
draws.py      calls drawn from what stands there now
balance.py    counts by tool, applicability and effect; what is wanted next
episode.py    one play lived through -> a trajectory
folder.py     plays -> shards, committed in order
command.py    `trajgen explore`
"""
