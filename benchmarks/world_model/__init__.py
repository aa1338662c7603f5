"""What teaching does to a world model: accuracy against transitions seen, before and after.

`python -m benchmarks.world_model [TRAINING FOLDER ...]` takes the figures that `trajgen train`
left in each folder into docs/world-model/, and draws the tables and plots of docs/world-model.md
anew from what is there. Without a folder it only draws. `--adapter RECIPE FIGURES` takes the
figures of an adapter that RECIPE had taught elsewhere; a folder beside it is a training of the
beginning alone, whose points come first.
"""
