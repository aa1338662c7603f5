"""Names that become code or paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from trajgen.errors import InputError
from trajgen.json_text import canonical
from trajgen.loading import find, load_object, safe_name, shipped, user_path


def test_an_object_by_name() -> None:
    assert load_object("trajgen.ids:canonical") is canonical


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "vlm",
        "vlm:Engine",
        "trajgen.ids",
        "trajgen.ids:",
        "trajgen.ids:nothing",
        "trajgen.nothing:canonical",
        "trajgen..ids:canonical",
        ".ids:canonical",
        "..:x",
        ":canonical",
        "a b:c",
    ],
)
def test_a_name_that_leads_nowhere_is_the_users_mistake(name: str) -> None:
    with pytest.raises(InputError, match="cannot load") as caught:
        load_object(name)
    assert "package.module:attribute" in caught.value.fix


@pytest.mark.parametrize("name", ["a", "0", "retail_support", "v1.2-b", "A" * 100])
def test_safe_names(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "-x", "_x", "a/b", "../a", "/a", "a\\b", "a b", "a\n"),
        *("a\0", "é", "A" * 101, "C:", "~", "$HOME", "a*"),
    ],
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a folder"):
        safe_name(name)


@pytest.mark.parametrize("folder", ["prompts", "seeds", "pipelines"])
def test_what_is_shipped_is_there(folder: str) -> None:
    assert any(shipped(folder).iterdir())


def test_find_looks_here_then_near_then_at_what_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, near = tmp_path / "here", tmp_path / "job" / "pipelines"
    for place in (here, near, near.parent):
        (place / "data").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert find("data", near) == Path("data")
    monkeypatch.chdir(tmp_path)
    assert find("data", near) == near / "data"
    (near / "data").rmdir()
    assert find("data", near) == near.parent / "data"
    assert find("seeds/household", near) == shipped("seeds") / "household"
    assert find(str(here)) == here


def test_what_is_not_found_names_the_places(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find("no/such", tmp_path)
    assert str(tmp_path / "no/such") in caught.value.fix
    with pytest.raises(InputError) as caught:
        find("/no/such")
    assert caught.value.fix == "Looked at: /no/such"


def test_a_path_is_meant_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path(Path("runs")) == Path("runs")


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a\0b"])
def test_what_is_no_path_is_the_users_mistake(path: str) -> None:
    for look in (user_path, find):
        with pytest.raises(InputError) as caught:
            look(path)
        assert "\0" not in str(caught.value)


def test_a_name_that_no_disk_holds_is_not_found() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find("x" * 300)
