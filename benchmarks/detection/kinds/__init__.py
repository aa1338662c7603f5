"""The corruptions: each breaks one thing, says where, and says which codes would be right.

None means that a trajectory has no place for it: nothing to break, or nothing by which
anybody could notice (the rules of editing.py).
"""

from __future__ import annotations

from benchmarks.detection.editing import Kind
from benchmarks.detection.kinds import calls, held_out, shape, speech, steps, worlds

KINDS: dict[str, Kind] = {**shape.KINDS, **calls.KINDS, **speech.KINDS, **worlds.KINDS}
HELD_OUT: dict[str, Kind] = held_out.KINDS  # written before the filters were tried on them
STEPS: dict[str, Kind] = steps.KINDS  # need stored steps
