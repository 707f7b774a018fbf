"""XMP in mp4 files: in its box, with the clip still whole."""

import hashlib
from pathlib import Path

import av
import pytest
from PIL import Image

from darkroom_runner.sampling.mp4 import write_mp4
from darkroom_runner.sampling.mp4_xmp import XMP_BOX, append_xmp
from darkroom_runner.tasks.xmp import GENERATED, xmp_packet

METADATA = {"video": {"frames": 3, "baseModel": "svd"}, "picture": {"prompt": "a dog", "versions": {}}}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_mp4([Image.new("RGB", (64, 48), (40 * number, 0, 0)) for number in range(3)], path, 7, "{}")
    return path


def boxes(path: Path) -> list[tuple[bytes, bytes]]:
    """Types and contents of the boxes at the top level."""
    content, position, found = path.read_bytes(), 0, []
    while position < len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        assert size >= 8
        found.append((content[position + 4 : position + 8], content[position + 8 : position + size]))
        position += size
    assert position == len(content)
    return found


def frames(path: Path) -> str:
    with av.open(str(path)) as container:
        return hashlib.sha256(b"".join(f.to_ndarray().tobytes() for f in container.decode(video=0))).hexdigest()


def test_the_packet_is_in_its_own_box_and_the_frames_are_unchanged(clip: Path) -> None:
    before, decoded = boxes(clip), frames(clip)

    append_xmp(clip, xmp_packet(METADATA))

    *rest, (kind, content) = boxes(clip)
    assert rest == before
    assert kind == b"uuid"
    assert content == XMP_BOX.bytes + xmp_packet(METADATA)
    assert GENERATED.encode() in content
    assert frames(clip) == decoded


@pytest.mark.parametrize("change", ["cut", "endless"])
def test_a_file_that_could_swallow_the_box_is_refused(clip: Path, change: str) -> None:
    """A cut file, and one whose last box has size 0: until the end of the file."""
    content = clip.read_bytes()
    clip.write_bytes(content[:-1] if change == "cut" else content + bytes(4) + b"free")

    with pytest.raises(ValueError, match=r"clip\.mp4 is not a complete mp4 file"):
        append_xmp(clip, xmp_packet(METADATA))
