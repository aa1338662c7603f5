"""One driver a run in a store: who gets it, who loses it, and what the loser may not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from crash.small_run import open_run, result, run_all
from memory_store import again, memory, objects

from trajgen import lease as leases
from trajgen.errors import InputError, MachineError, RunLocked
from trajgen.lease import LEASE, Lease
from trajgen.object_store import ObjectStore, Version
from trajgen.objects import ObjectPath


@pytest.fixture(autouse=True)
def no_keeper_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leases that a test leaves behind are renewed no longer."""
    made: list[Lease] = []
    take = Lease._take

    def noted(self: Lease) -> Version:
        made.append(self)
        return take(self)

    monkeypatch.setattr(Lease, "_take", noted)
    yield
    for lease in made:
        lease._over.set()


def held(run: ObjectPath) -> dict[str, Any]:
    """What the lease of a run says."""
    return json.loads((run / "logs" / LEASE).read_bytes())


def rewritten(run: ObjectPath, **changes: Any) -> None:
    """The lease as if another holder had written it."""
    (run / "logs" / LEASE).replace(json.dumps(held(run) | changes).encode())


def until(holds: Any) -> None:
    """Wait for a thread to get there."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_the_second_driver_is_refused_until_the_first_has_gone() -> None:
    run = memory()
    refused = pytest.raises(RunLocked, match=f"process {os.getpid()} on .*last heard of")
    with open_run(run), refused:
        open_run(again(run))
    with open_run(again(run)):
        assert "released" not in held(run)
    assert held(run)["released"]


def test_a_driver_of_this_machine_that_died_is_succeeded_at_once() -> None:
    run = memory()
    first = Lease(run)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(60)
    rewritten(run, pid=dead.pid)
    second = Lease(again(run))
    with pytest.raises(MachineError):
        first._renew()
    second.release()


def test_another_process_with_the_same_number_is_not_the_holder() -> None:
    run = memory()
    Lease(run)
    rewritten(run, began="1")
    Lease(again(run)).release()


@pytest.mark.parametrize(
    "changes", [{"machine": "another"}, {"machine": "another", "pid": 1 << 30}, {"pid": "x"}]
)
def test_elsewhere_nobody_knows_whether_a_driver_lives(changes: dict[str, Any]) -> None:
    """So its lease is respected until it runs out by the store's own clock."""
    run = memory()
    Lease(run)
    rewritten(run, **changes)
    with pytest.raises(RunLocked):
        Lease(again(run))


def test_a_lease_that_nobody_renews_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    run = memory()
    first = Lease(run)
    rewritten(run, machine="another")
    now = Lease._now
    monkeypatch.setattr(Lease, "_now", lambda self: now(self) + timedelta(seconds=119))
    with pytest.raises(RunLocked, match="119 s ago"):
        Lease(again(run))
    monkeypatch.setattr(Lease, "_now", lambda self: now(self) + timedelta(seconds=120))
    second = Lease(again(run))
    with pytest.raises(MachineError):
        first._renew()
    second.release()


def test_of_two_that_come_at_once_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see a lease that has run out; the second put names a version that is gone."""
    run = memory()
    Lease(run).release()
    rival: list[Lease] = []
    refuse_held = Lease._refuse_held

    def slow(self: Lease, *seen: Any) -> None:
        refuse_held(self, *seen)
        if not rival:
            rival.append(self)
            rival.append(Lease(again(run)))

    monkeypatch.setattr(Lease, "_refuse_held", slow)
    with pytest.raises(RunLocked, match="just came"):
        Lease(run)
    rival[1].check()


def test_a_driver_that_lost_its_lease_writes_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it is about to do, the store's guard is asked first."""
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    run = memory()
    with open_run(run) as folder:
        folder.commit(result(0))
        rewritten(run, token="another")
        until(lambda: folder._lock._lost)  # type: ignore[union-attr]
        before = objects(run)
        for act in (
            folder.check,
            lambda: folder.commit(result(1)),
            lambda: folder.finish(0),
            lambda: folder.record_usage(seconds=1, prompt=1, cached=1, generated=1),
        ):
            with pytest.raises(RunLocked, match="taken over"):
                act()
        assert objects(run) == before
    assert held(run)["token"] == "another"


def test_a_lease_is_renewed_and_a_failing_store_forgiven_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    clock = [0.0]
    monkeypatch.setattr(leases, "_clock", lambda: clock[0])
    run = memory()
    lease = Lease(run)
    until(lambda: held(run)["renewals"] >= 2)

    def fail(*_: Any) -> Version:
        raise MachineError("the store is away")

    put = lease._path.store.put
    lease._path.store.put = fail  # type: ignore[method-assign]
    time.sleep(0.1)
    clock[0] = 59.0
    lease.check()
    clock[0] = 61.0
    with pytest.raises(RunLocked, match="could not be renewed for 61 s"):
        lease.check()
    lease._path.store.put = put  # type: ignore[method-assign]
    until(lambda: lease._renewed == 61.0)
    lease.check()
    lease.release()


def test_a_renewal_whose_answer_was_lost_is_still_ours() -> None:
    run = memory()
    lease = Lease(run)
    rewritten(run, renewals=7)  # our token: as if an earlier try had come through
    lease._renew()
    lease.check()
    lease.release()


class _Careless(ObjectStore):
    """A store that puts over whatever is there, as some do."""

    def put(self, name: str, data: bytes, over: Version | None) -> Version:
        try:
            return super().put(name, data, self.head(name).version)
        except FileNotFoundError:
            return super().put(name, data, None)

    def twin(self, limit_s: float) -> ObjectStore:
        return _Careless(self._raw, self.url, limit_s)


def test_a_store_without_conditional_writes_is_refused() -> None:
    run = ObjectPath(_Careless(memory().store._raw, "memory://careless"))
    with pytest.raises(InputError, match="does not honour conditional writes"):
        open_run(run)
    assert objects(run) == {}


def test_what_is_left_when_nothing_was_written_is_no_obstacle() -> None:
    """A driver that died between its lease and run.json leaves a place for a run."""
    run = memory()
    Lease(run)
    rewritten(run, began="1")
    assert run_all(again(run)) == [0, 1, 2, 3]
