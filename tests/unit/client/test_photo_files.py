"""Photos, captions and masks are found in folders and checked before they are sent."""

from pathlib import Path

import pytest

from darkroom_client.errors import InputError
from darkroom_client.photo_files import find_photos
from darkroom_contract.photos.limits import MAX_PHOTO_BYTES


def test_folder_has_photos_captions_and_masks(photos: Path) -> None:
    (photos / "notes.md").write_text("no photo")
    (photos / ".DS_Store").write_text("hidden")
    (photos / "below").mkdir()
    found = find_photos([photos])
    assert [each.name for each in found.files] == ["1.jpg", "1.mask.png", "1.txt", "2.PNG"]
    assert [each.name for each in found.photos] == ["1.jpg", "2.PNG"]
    assert found.skipped == (photos / "notes.md",)
    assert found.bytes == 3 * 1200 + 16


def test_captions_and_masks_are_paired_in_any_case_and_form_of_accents(photos: Path) -> None:
    (photos / "Caf\N{LATIN SMALL LETTER E WITH ACUTE}.JPG").write_bytes(b"photo")
    (photos / "cafe\N{COMBINING ACUTE ACCENT}.TXT").write_text("a cup")
    (photos / "CAFE\N{COMBINING ACUTE ACCENT}.Mask.png").write_bytes(b"mask")
    assert len(find_photos([photos]).files) == 7


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "2.PNG").write_bytes(b""), r"2\.PNG is empty"),
        (lambda folder: (folder / "3.txt").write_text("a cat"), r"3\.txt is the caption of no photo"),
        (lambda folder: (folder / "3.mask.png").write_bytes(b"m"), r"3\.mask\.png is the mask of no photo"),
        (lambda folder: (folder / "2.txt").write_text("a" * 5000), r"2\.txt is too long for a caption"),
        (lambda folder: (folder / "\udcff.jpg").write_bytes(b"photo"), "its name is not text in UTF-8"),
        (lambda folder: sparse(folder / "2.PNG", MAX_PHOTO_BYTES + 1), r"2\.PNG has 25\.0 MiB, more than 25"),
        (lambda folder: [sparse(folder / f"x{i}.jpg", 25 * 1024**2) for i in range(21)], "have 525 MiB in all"),
        (lambda folder: [sparse(folder / f"x{i}.jpg", 9) for i in range(99)], "There are 101 photos, more than 100"),
        (lambda folder: [each.unlink() for each in folder.iterdir()], "There are no photos"),
    ],
)
def test_unusable_folder_is_explained(photos: Path, change, message: str) -> None:
    change(photos)
    with pytest.raises(InputError, match=message):
        find_photos([photos])


def test_folder_without_photos_is_named_with_what_it_has(tmp_path: Path) -> None:
    for name in ("a.gif", "b.pdf", "c.pdf", "d.pdf"):
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(InputError) as raised:
        find_photos([tmp_path])
    assert str(raised.value).startswith(f"There are no photos in {tmp_path}. It has other files: a.gif, b.pdf, c.pdf,")


def test_folder_whose_photos_are_one_level_down_names_the_one_that_has_them(photos: Path) -> None:
    with pytest.raises(InputError, match=f"{photos} has photos, so give that one"):
        find_photos([photos.parent])


def test_named_file_that_is_no_photo_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF")
    with pytest.raises(InputError, match=r"a\.gif is not a photo \(JPEG, PNG"):
        find_photos([photos, tmp_path / "a.gif"])
    with pytest.raises(InputError, match="missing does not exist"):
        find_photos([tmp_path / "missing"])


def test_files_of_the_same_name_are_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"another")
    with pytest.raises(InputError, match="have the same name"):
        find_photos([photos, tmp_path / "1.jpg"])
