"""A run below a prefix of an object store: the same bytes as in a folder, by the same code."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from crash import small_run
from crash.small_run import LAST, contents, open_run, result, run_all
from memory_store import again, memory, objects

from trajgen.errors import CommitError, Conflict, InputError, MachineError
from trajgen.object_store import Meta, ObjectStore, Version
from trajgen.objects import ObjectPath, side_by_side
from trajgen.review.run import Run
from trajgen.shards import dead_path, rejects_path, shard_path
from trajgen.status import status
from trajgen.verify import verify


def test_paths_are_those_of_a_folder() -> None:
    run = memory()
    (run / "shards" / "b.txt").create(b"12345")
    (run / "a").create(b"")
    names = {str(path) for path in run.iterdir()}
    assert names == {"memory://run/shards", "memory://run/a"}
    assert [path.name for path in (run / "shards").glob("*.txt")] == ["b.txt"]
    assert (run / "shards").is_dir()
    assert not (run / "shards").exists()
    assert (run / "shards" / "b.txt").parent == run / "shards"
    assert (run / "shards").parent == run
    assert (run / "shards").sizes() == {"b.txt": 5}
    with pytest.raises(ValueError, match="read"):
        (run / "a").open("wb")


def test_a_file_is_read_in_parts_of_one_version() -> None:
    path = memory() / "a"
    data = bytes(range(256)) * 40
    path.create(data)
    with path.open() as file:
        assert file.seek(0, io.SEEK_END) == len(data)
        assert file.read(5) == b""
        file.seek(300)
        assert file.read(4) == data[300:304]
        path.replace(b"other")
        file.seek(0)
        with pytest.raises(Conflict):
            file.read(9000)


class _LosesAnswers(ObjectStore):
    """The first put comes through, its answer does not, and the library tries again."""

    lost = False

    def put(self, name: str, data: bytes, over: Version | None) -> Version:
        found = super().put(name, data, over)
        if not self.lost:
            self.lost = True
            super().put(name, data, over)
        return found


def test_a_put_whose_answer_was_lost_is_known_by_its_content() -> None:
    run = memory()
    path = ObjectPath(_LosesAnswers(run.store._raw, "memory://run"), (run / "a").key)
    assert path.create(b"mine") == path.store.head("a").version
    with pytest.raises(Conflict):
        path.create(b"another's")
    path.store.lost = False  # type: ignore[attr-defined]
    path.replace(b"mine again")
    assert path.read_bytes() == b"mine again"


def test_a_run_is_the_same_in_a_store_as_in_a_folder(tmp_path: Path) -> None:
    """Byte for byte, manifest and card included."""
    run = memory()
    run_all(tmp_path / "run")
    assert run_all(run) == [0, 1, 2, 3]
    assert objects(run) == contents(tmp_path / "run")
    assert verify(again(run)) == []
    assert status(again(run)) == status(tmp_path / "run")


def test_a_finished_run_is_read_and_not_touched() -> None:
    run = memory()
    run_all(run)
    reader = again(run)
    reader.store.guard = _refuse
    opened = Run.open(reader)
    assert [row.id for row in opened] == [f"task-{n:04d}" for n in (0, 1, 4, 5, 8, 9, 12, 13)]
    assert len(opened.frame(rejected=True)) == 3
    assert opened.sample(2, reason="unknown_tool")[0].reasons == ("unknown_tool",)
    assert opened.status()["dead"] == 3
    before = {name: run.store.head(name) for name in objects(run)}
    assert run_all(again(run)) == []
    assert {name: run.store.head(name) for name in objects(run)} == before


def _refuse() -> None:
    raise AssertionError("a reader wrote")


def test_an_unfinished_run_goes_on_where_it_was() -> None:
    run, whole = memory(), memory()
    with open_run(run) as folder:
        for number in (0, 1):
            folder.commit(result(number), small_run.marks(result(number)))
    assert status(again(run))["done"] == 8
    assert len(Run.open(again(run))) == 4
    assert run_all(again(run)) == [2, 3]
    run_all(whole)
    assert objects(run) == objects(whole)


@pytest.mark.parametrize("path", [shard_path, rejects_path, dead_path])
def test_a_damaged_shard_is_set_aside_and_owed_again(path: object) -> None:
    run, whole = memory(), memory()
    run_all(run)
    run_all(whole)
    damaged = path(run, 1)  # type: ignore[operator]
    data = damaged.read_bytes()
    damaged.replace(data[: len(data) // 2])
    assert any("00001" in problem["file"] for problem in verify(again(run)))
    assert run_all(again(run)) == [1]
    found = objects(run)
    aside = [name for name in found if name.startswith("corrupt/")]
    assert len(aside) == 3
    assert {name: data for name, data in found.items() if name not in aside} == objects(whole)


def test_a_shard_of_another_driver_is_never_overwritten() -> None:
    """Two drivers cannot mix their shards: the commit is a put where nothing may be."""
    run = memory()
    other = again(run)
    with open_run(run) as folder:
        real = folder.path.store.head

        def late(name: str) -> Meta:
            if name == "shards/train-00000.parquet" and not other_has_come:
                other_has_come.append(True)
                found = _missing(real, name)
                shard_path(other, 0).create(b"the other driver's")
                raise found
            return real(name)

        other_has_come: list[bool] = []
        folder.path.store.head = late  # type: ignore[method-assign]
        with pytest.raises(Conflict, match="somebody else"):
            folder.commit(result(0))
    assert shard_path(run, 0).read_bytes() == b"the other driver's"


def _missing(head: object, name: str) -> FileNotFoundError:
    try:
        head(name)  # type: ignore[operator]
    except FileNotFoundError as error:
        return error
    raise AssertionError("the shard is there already")


def test_another_run_and_other_objects_are_refused_untouched() -> None:
    run = memory()
    run_all(run)
    with pytest.raises(InputError, match="another run"):
        open_run(again(run), digest="e" * 64)
    other = memory()
    (other / "data.csv").create(b"1,2")
    with pytest.raises(InputError, match="no run of ours"):
        open_run(again(other))
    assert objects(other) == {"data.csv": b"1,2"}


def test_a_store_that_fails_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run would be begun over one that could not be read just now."""
    run = memory()
    run_all(run)
    fails = again(run)

    def fail(*_: object) -> tuple[bytes, Meta]:
        raise MachineError("the object store fails")

    monkeypatch.setattr(fails.store, "_get", fail)
    for read in (lambda: status(fails), lambda: verify(fails), lambda: open_run(fails)):
        with pytest.raises(MachineError):
            read()


def test_judgements_of_two_readers_are_both_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store nobody holds a lock: who was overtaken reads again."""
    run = memory()
    run_all(run)
    one, other = Run.open(again(run)), Run.open(again(run))
    ids = [row.id for row in one]
    put, rivals = ObjectPath.put, [ids[1]]

    def overtaken(self: ObjectPath, data: bytes, over: Version | None) -> Version:
        if rivals:
            other.judge(rivals.pop(), "keep")
        return put(self, data, over)

    monkeypatch.setattr(ObjectPath, "put", overtaken)
    one.judge(ids[0], "drop", note="too short")
    words = one.reviews().set_index("id")["review"].to_dict()
    assert words == {ids[0]: "drop", ids[1]: "keep"}
    assert verify(again(run)) == []
    one.judge(ids[0], None)
    assert list(other.reviews()["id"]) == [ids[1]]


def test_a_manifest_names_no_file_that_is_gone() -> None:
    run = memory()
    with open_run(run) as folder:
        assert folder.committed() == {}
        for number in range(LAST + 1):
            folder.commit(result(number))
        dead_path(run, 2).unlink()
        with pytest.raises(CommitError, match="is gone"):
            folder.finish(LAST)
    assert not (run / "manifest.json").exists()


def test_several_calls_at_once_keep_their_order_and_end_with_an_error() -> None:
    run = memory()
    assert list(side_by_side(run, lambda n: n * n, range(40))) == [n * n for n in range(40)]

    def fail(n: int) -> int:
        raise KeyError(n)

    with pytest.raises(KeyError):
        list(side_by_side(run, fail, range(3)))


def test_calls_are_a_few_ahead_of_what_is_taken(tmp_path: Path) -> None:
    """However many there are: what each gives may be large."""
    begun: list[int] = []

    def call(n: int) -> int:
        begun.append(n)
        return n

    found = side_by_side(tmp_path, call, range(10_000))
    assert [next(found), next(found)] == [0, 1]
    assert len(begun) < 100
    found.close()
