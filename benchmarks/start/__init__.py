"""How long it takes to begin: the package, the command, and a run's first model call.

`python -m benchmarks.start` measures each in a fresh process: `import trajgen`, `trajgen --help`,
and `trajgen run` of the smoke pipeline up to the first request that its engine is given, inline
and with a local Ray. The engine takes no time to load, so what is measured is ours and Ray's.
"""
