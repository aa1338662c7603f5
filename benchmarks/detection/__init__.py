"""How often the filters catch a wrong world, and how often they are wrong about a right one.

    python -m benchmarks.detection [--json FILE] [--plot FILE] [--source NAME ...] [--per N]

Real trajectories are checked as they are (the clean set) and with one thing broken in each
(the corruptions, `kinds/`). docs/filters.md has the method and the figures.
"""
