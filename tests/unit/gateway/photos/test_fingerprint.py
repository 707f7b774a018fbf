"""The fingerprint of an upload covers captions and masks, and stays what it was for photos alone."""

from hashlib import sha256

from darkroom_gateway.photos.fingerprint import Digests, fingerprint

ONE, TWO, THREE = (sha256(each).digest() for each in (b"1", b"2", b"3"))


def test_fingerprint_of_photos_alone_is_that_of_earlier_releases() -> None:
    assert fingerprint([Digests(ONE), Digests(TWO)]) == sha256(ONE + TWO).hexdigest()


def test_each_file_and_its_photo_count() -> None:
    uploads = [
        [Digests(ONE), Digests(TWO)],
        [Digests(TWO), Digests(ONE)],
        [Digests(ONE), Digests(TWO), Digests(THREE)],
        [Digests(ONE, caption=THREE), Digests(TWO)],
        [Digests(ONE), Digests(TWO, caption=THREE)],
        [Digests(ONE, mask=THREE), Digests(TWO)],
        [Digests(ONE, caption=THREE, mask=THREE), Digests(TWO)],
        [Digests(ONE, caption=THREE), Digests(TWO, caption=THREE)],
    ]

    assert len({fingerprint(each) for each in uploads}) == len(uploads)
