"""Teaching a model the roles it plays: runs and seeds -> chat examples -> TRL -> an adapter.

recipe.py    the YAML file            examples.py  what is learnt, by role
rows.py      examples as tokens       order.py     which rows a step sees
folder.py    what is on disk          sft.py       TRL and PEFT
card.py      the model card           command.py   from end to end
"""
