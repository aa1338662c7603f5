"""A store in memory, with the real library below: as strict about versions as S3."""

from __future__ import annotations

from obstore.store import MemoryStore

from trajgen.object_store import ObjectStore
from trajgen.objects import ObjectPath


def memory(limit_s: float = 5.0) -> ObjectPath:
    """An empty place for a run."""
    return ObjectPath(ObjectStore(MemoryStore(), "memory://run", limit_s))


def again(path: ObjectPath) -> ObjectPath:
    """The same objects, as another driver or reader opens them."""
    return ObjectPath(path.store.twin(path.store.limit_s), path.key)


def objects(path: ObjectPath) -> dict[str, bytes]:
    """Every object outside logs/, by name."""
    found: dict[str, bytes] = {}
    for entry in path.iterdir():
        if entry.is_file():
            found[str(entry.key)] = entry.read_bytes()
        elif entry.name != "logs":
            found |= objects(entry)
    return found
