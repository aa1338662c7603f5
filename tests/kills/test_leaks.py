"""Fifty runs in one process leave nothing in it: no thread, descriptor, child, lock or file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.driven import no_shared_memory_left
from tests.small_pipeline import environment, write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = """
import errno, gc, json, os, shutil, socket, sys, threading, time
import psutil
import trajgen

def closed(descriptor):
    twin = None
    try:
        twin = os.dup(int(descriptor))
        with socket.socket(fileno=twin) as found:
            twin = None
            found.getpeername()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    finally:
        if twin is not None:
            os.close(twin)
    return False

def held():
    gc.collect()
    me = psutil.Process()
    over = sum(map(closed, os.listdir("/proc/self/fd")))
    with open("/proc/locks") as locks:
        mine = [line for line in locks if line.split()[4] == str(me.pid)]
    return {
        "descriptors": me.num_fds() - over,
        "over": over,
        "threads": threading.active_count(),
        "children": len(me.children(recursive=True)),
        "connections": len(me.net_connections(kind="all")),
        "locks": len(mine),
        "temporary": len(os.listdir(os.environ["TMPDIR"])),
    }

def settled(over):
    end = time.monotonic() + 10  # Ray closes some connections a little later
    while (now := held())["over"] > over or now["connections"]:
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return now

pipeline, count = sys.argv[1], int(sys.argv[2])
found = []
for number in range(count):
    trajgen.run(pipeline, f"run-{number}")
    found.append(settled(number + 1))
    shutil.rmtree(f"run-{number}")
print(json.dumps(found))
"""


@pytest.mark.parametrize(("address", "count"), [("inline", 50), ("local", 4)])
def test_runs_in_one_process_leave_nothing(address: str, count: int, tmp_path: Path) -> None:
    """Through Ray too: what its first start adds to the process, the others do not add to, but
    for the socket of an ended connection that Ray's library keeps of some sessions."""
    pipeline = write_pipeline(tmp_path, cluster={"address": address})
    temporary = tmp_path / "t"
    temporary.mkdir()
    with no_shared_memory_left():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, pipeline, str(count)],
            cwd=tmp_path,
            env=environment(TMPDIR=str(temporary)),
            capture_output=True,
            text=True,
            timeout=280,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    over = [at.pop("over") for at in found]
    assert over[-1] <= (count if address == "local" else 0)
    assert found[-1] == found[1], "it grows with every run"
    for kind in ("children", "connections", "locks", "temporary"):
        assert found[-1][kind] == 0, kind
