"""Files of downward API volumes: which a pod's manifest asks for, and their atomic replacement."""

import contextlib
import os
import threading

import pytest

from darkroom_local.node.downward_api import ProjectedFile, projected_files, write_atomically, write_volumes
from darkroom_local.node.errors import CannotStartError
from darkroom_local.node.pod_dirs import PodDirs

UID = "7cadbac9-6199-41c9-a49c-be729d19c46c"


def an_item(path, field="metadata.annotations['a']", **more):
    return {"path": path, "fieldRef": {"fieldPath": field}, **more}


def a_volume(*items, **more):
    return {"name": "info", "downwardAPI": {"items": list(items), **more}}


def a_pod(*volumes, **annotations):
    return {"metadata": {"name": "pod", "uid": UID, "annotations": annotations}, "spec": {"volumes": list(volumes)}}


def files_of(volume, **annotations):
    return projected_files(a_pod(volume, **annotations), volume, {})


def test_items_become_files_with_their_modes():
    volume = a_volume(an_item("run"), an_item("deep/name", "metadata.name", mode=0o400), defaultMode=0o440)

    files = files_of(volume, a="text")

    assert files == {"run": ProjectedFile(b"text", 0o440), "deep/name": ProjectedFile(b"pod", 0o400)}


def test_missing_annotation_is_an_empty_file_with_the_default_mode():
    assert files_of(a_volume(an_item("run"))) == {"run": ProjectedFile(b"", 0o644)}


def test_volume_without_items_has_no_files():
    assert files_of(a_volume()) == {}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (an_item("../run"), "must be a relative path without"),
        (an_item("a/../../run"), "must be a relative path without"),
        (an_item("..data"), "must be a relative path without"),
        (an_item("./..data"), "must be a relative path without"),
        (an_item("/run"), "must be a relative path without"),
        (an_item("."), "must be a relative path without"),
        (an_item("a\0b"), "must be a relative path without"),
        (an_item("run", mode=0o1000), "must be a number between 0 and 0777"),
        (an_item("run", "metadata.generation"), "unsupported fieldPath: metadata.generation"),
        (an_item("run", "spec.nodeName"), "unsupported fieldPath: spec.nodeName"),
        ({"path": "run"}, "one of fieldRef and resourceFieldRef is required"),
        ({"path": "cpu", "resourceFieldRef": {"resource": "limits.cpu"}}, "container  not found"),
    ],
)
def test_invalid_items_are_rejected_with_the_volume(item, message):
    with pytest.raises(CannotStartError) as raised:
        files_of(a_volume(item))
    assert raised.value.reason == "ContainerCreating"
    assert 'MountVolume.SetUp failed for volume "info"' in str(raised.value)
    assert message in str(raised.value)


def test_layout_is_that_of_a_kubelet(tmp_path):
    write_atomically(tmp_path, {"run": ProjectedFile(b"1"), "deep/name": ProjectedFile(b"pod", 0o400)})

    assert os.readlink(tmp_path / "run") == "..data/run"
    assert os.readlink(tmp_path / "deep") == "..data/deep"
    version = os.readlink(tmp_path / "..data")
    assert sorted(os.listdir(tmp_path)) == sorted([version, "..data", "run", "deep"])
    assert (tmp_path / "run").read_bytes() == b"1"
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "deep/name").stat().st_mode & 0o777 == 0o400


def test_modes_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path, {"run": ProjectedFile(b"1", 0o666)})
    finally:
        os.umask(before)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o666


def test_new_content_is_a_new_directory_and_the_old_one_is_removed(tmp_path):
    write_atomically(tmp_path, {"run": ProjectedFile(b"1"), "old": ProjectedFile(b"")})
    first = os.readlink(tmp_path / "..data")

    write_atomically(tmp_path, {"run": ProjectedFile(b"2"), "new": ProjectedFile(b"")})

    second = os.readlink(tmp_path / "..data")
    assert second != first
    assert sorted(os.listdir(tmp_path)) == sorted([second, "..data", "run", "new"])
    assert (tmp_path / "run").read_bytes() == b"2"


def test_equal_content_changes_nothing(tmp_path):
    files = {"run": ProjectedFile(b"1")}
    write_atomically(tmp_path, files)
    before = os.readlink(tmp_path / "..data")

    write_atomically(tmp_path, files)

    assert os.readlink(tmp_path / "..data") == before


def test_interrupted_update_is_completed_by_the_next(tmp_path):
    """The node was killed after the rename: the new file has no visible name, and a temporary symlink was left."""
    write_atomically(tmp_path, {"run": ProjectedFile(b"1")})
    (tmp_path / "run").unlink()
    (tmp_path / "..data_tmp").symlink_to("..gone")

    write_atomically(tmp_path, {"run": ProjectedFile(b"1")})
    assert (tmp_path / "run").read_bytes() == b"1"
    write_atomically(tmp_path, {"run": ProjectedFile(b"2")})
    assert (tmp_path / "run").read_bytes() == b"2"
    assert not (tmp_path / "..data_tmp").is_symlink()


def test_failed_update_keeps_the_old_content(tmp_path):
    write_atomically(tmp_path, {"run": ProjectedFile(b"1")})

    with pytest.raises(OSError, match="too long"):
        write_atomically(tmp_path, {"run": ProjectedFile(b"2"), "x" * 300: ProjectedFile(b"")})

    assert (tmp_path / "run").read_bytes() == b"1"
    assert sorted(os.listdir(tmp_path)) == sorted([os.readlink(tmp_path / "..data"), "..data", "run"])


def test_reader_sees_whole_versions_only(tmp_path):
    """A version's files are read through one directory descriptor, as atomic reads of several files must be."""
    versions = [{name: ProjectedFile(str(number).encode() * 5000) for name in ("a", "b")} for number in range(200)]
    write_atomically(tmp_path, versions[0])
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            with contextlib.suppress(FileNotFoundError):  # At the moment of the rename.
                folder = tmp_path / os.readlink(tmp_path / "..data")
                seen.append({(folder / name).read_bytes() for name in ("a", "b")})

    reader = threading.Thread(target=read)
    reader.start()
    for version in versions:
        write_atomically(tmp_path, version)
    done.set()
    reader.join()

    whole = [{version["a"].content} for version in versions]
    assert seen
    assert all(each in whole for each in seen)


def test_only_downward_volumes_of_a_pod_are_written(tmp_path):
    dirs = PodDirs(tmp_path)
    pod = a_pod(a_volume(an_item("run")), {"name": "scratch", "emptyDir": {}}, a="text")

    write_volumes(pod, dirs.of(UID), {})

    assert (dirs.of(UID).volume("info") / "run").read_text() == "text"
    assert not dirs.of(UID).volume("scratch").exists()
    assert dirs.of(UID).root.stat().st_mode & 0o777 == 0o700
