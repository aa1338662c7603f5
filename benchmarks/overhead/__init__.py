"""What trajgen's own work costs in processor time: a model call, a verdict, a committed row.

`python -m benchmarks.overhead` plays tasks of the smoke pipeline once with the scripted engine and
keeps every answer by the id of its request. What is measured then is the same play again, in a
process of its own, with an engine that only looks its answers up; the engine's counting of tokens
is left out. A model call carries everything in a worker but filters and rows: prompts, parsing,
schemas, checks, the ledger, the event loop. A trajectory carries the default filters. A row carries
its text, fingerprint and sketch, the message to the driver, the search for copies and the commit.

`--other CHECKOUT` measures another version of the package in turn with this one.
"""
