"""What a driver shows and notes while a run is played.

Crash rule: nothing here decides what is done; a note that cannot be made in time is left out.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections import Counter
from contextlib import suppress

from trajgen.collect import Collector
from trajgen.config import Pipeline
from trajgen.deadline import done_within
from trajgen.dispatch import Dispatch
from trajgen.errors import CommitError, MachineError
from trajgen.heartbeat import end_beat
from trajgen.review.progress import Progress, Snapshot

TICK_S = 0.5
NOTE_S = 2.0  # that the end waits for its notes


class Watch:
    """Turns the driver's books into progress and usage records, and looks whether the run is
    still this driver's."""

    def __init__(self, pipeline: Pipeline, collector: Collector) -> None:
        self.collector = collector
        where = str(collector.folder.path)
        self.progress = Progress(pipeline.max_tasks, pipeline.target, where=shlex.quote(where))
        self.began = time.monotonic()
        self._noted = collector.next_shard

    async def tick(self, dispatch: Dispatch) -> None:
        """Keep the figures fresh while nothing ends, engines loading included. Raises RunLocked
        when another driver has taken the run over."""
        while True:
            self.progress.update(self._snapshot(dispatch))
            self.collector.folder.check()
            await asyncio.sleep(TICK_S)

    def stop(self, dispatch: Dispatch) -> None:
        """Show where the run ended."""
        self.progress.update(self._snapshot(dispatch))
        self.progress.stop()

    def changed(self, dispatch: Dispatch) -> None:
        if self.collector.next_shard != self._noted:
            self._noted = self.collector.next_shard
            self.note_usage(dispatch)

    def note_at_last(self, dispatch: Dispatch) -> None:
        """`note_usage` where nobody may be kept waiting, and what went wrong before may not be
        hidden: a disk that hangs or fails notes nothing."""
        with suppress(MachineError):
            done_within(NOTE_S, lambda: self._note_end(dispatch), CommitError("too late"))

    def _note_end(self, dispatch: Dispatch) -> None:
        end_beat(self.collector.folder.path)
        self.note_usage(dispatch)

    def note_usage(self, dispatch: Dispatch) -> None:
        spent = dispatch.usage()
        self.collector.folder.record_usage(
            seconds=time.monotonic() - self.began,
            prompt=spent.prompt,
            cached=spent.cached,
            generated=spent.generated,
        )

    def _snapshot(self, dispatch: Dispatch) -> Snapshot:
        totals, spent = self.collector.totals, dispatch.usage()
        return Snapshot(
            done=self.collector.settled,
            kept=totals.kept,
            rejected=totals.rejected,
            dead=totals.dead,
            reasons=Counter(totals.reasons),
            generated_tokens=spent.generated,
            prompt_tokens=spent.prompt,
            in_flight=sum(live.in_flight for live in dispatch.workers),
            slots=dispatch.in_flight * len(dispatch.workers),
            why_empty=dispatch.why_empty(),
            committed_shards=self.collector.next_shard,
            shards=self.collector.n_shards,
            trouble=dispatch.trouble,
            death=dispatch.death,
        )
