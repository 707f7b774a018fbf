"""Downloads of pictures from links: real servers, limits of size and time, and addresses that are not public."""

import socket
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from support.serving import Answer, content, serving

from darkroom_contract.photos import limits as bounds
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.generation.image_links import LinkDownloader
from darkroom_gateway.outgoing import name_lookups, sessions
from darkroom_gateway.outgoing.addresses import is_public
from darkroom_gateway.outgoing.name_lookups import FoundAddress
from darkroom_gateway.settings import ImageLinks


def redirect(to: str, status: int = 302) -> Answer:
    return content(b"", status, Location=to)


async def download(url: str, links: ImageLinks = ImageLinks.ANY, seconds: float = 10) -> bytes:
    with await LinkDownloader(links, seconds).download(url, "image_url") as file:
        return file.read()


async def refusal(url: str, links: ImageLinks = ImageLinks.ANY, seconds: float = 10) -> str:
    with pytest.raises(InvalidRequestError) as raised:
        await download(url, links, seconds)
    [error] = raised.value.field_errors
    assert (error.parameter, error.given) == ("image_url", url)
    return error.message


async def test_content_is_downloaded_and_redirects_are_followed() -> None:
    with serving(content(b"a picture")) as target, serving(redirect(f"{target}/a.png")) as url:
        assert await download(f"{url}/b.png") == b"a picture"


async def test_compressed_content_is_not_unpacked() -> None:
    """Small content can't become large in the gateway's memory."""
    with serving(content(b"\x1f\x8bzip", Content_Encoding="gzip")) as url:
        assert await download(url) == b"\x1f\x8bzip"


async def test_request_carries_no_credentials() -> None:
    seen: dict[str, str] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.update(handler.headers)
        content(b"x", Set_Cookie="a=b")(handler)

    with serving(answer) as url:
        await download(url)
        await download(url)

    assert seen.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert seen["User-Agent"].startswith("darkroom/")


async def test_other_status_and_no_server_are_named() -> None:
    with serving(content(b"no", 404)) as url:
        assert "answered 404" in await refusal(f"{url}/dog.png")
    assert "no connection" in await refusal(f"{url}/dog.png")
    assert "name is unknown" in await refusal("http://no-such-host.invalid/dog.png")


async def test_endless_redirects_end() -> None:
    with serving(redirect("/again")) as url:
        assert "more than 5 times" in await refusal(url)


@pytest.mark.parametrize("target", ["ftp://x.example/a", "file:///etc/passwd", "http://user@x.example/a", ""])
async def test_redirect_to_another_scheme_is_refused(target: str) -> None:
    with serving(redirect(target)) as url:
        assert "redirects to an address that does not begin with http" in await refusal(url)


@pytest.mark.parametrize("url", ["http://xn--/", "http://[::1/", "http://x:99999/", "http://:80/"])
async def test_link_with_an_invalid_host_or_port_is_refused(url: str) -> None:
    assert "Use a link that begins with http" in await refusal(url)


@pytest.mark.parametrize("announced", [True, False])
async def test_large_content_is_refused(announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_PHOTO_BYTES", 100_000)

    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(bytes(100_001))

    with serving(content(bytes(100_001)) if announced else stream) as url:
        assert "at most" in await refusal(url)


async def test_slow_server_is_left_after_the_time_limit() -> None:
    """One that sends a byte now and then, too."""
    done = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not done.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    with serving(drip) as url:
        try:
            assert "within 0.5 s" in await refusal(url, seconds=0.5)
        finally:
            done.set()


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "fe80::1%eth0",
        "::127.0.0.1", "::ffff:0:7f00:1", "fec0::1", "4000::1", "localhost", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_private_address_is_not_connected_to(host: str) -> None:
    """In any of its forms; `localhost` and the short ones are resolved first."""
    connected = threading.Event()
    with serving(lambda _: connected.set()) as url:
        port = url.rpartition(":")[2]
        message = await refusal(f"http://{host}:{port}/", ImageLinks.PUBLIC)

    assert "not public" in message
    assert not connected.is_set()


async def test_redirect_to_a_private_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two servers here, only the first one counts as public."""
    monkeypatch.setattr(sessions, "is_public", lambda address: address == "127.0.0.1")
    connected = threading.Event()
    with (
        serving(lambda _: connected.set(), host="127.0.0.2") as private,
        serving(redirect(f"{private}/latest/meta-data")) as url,
        serving(content(b"a picture")) as other,
    ):
        assert await download(other, ImageLinks.PUBLIC) == b"a picture"
        assert "127.0.0.2 has an address that is not public" in await refusal(url, ImageLinks.PUBLIC)

    assert not connected.is_set()


async def test_name_is_resolved_once_and_the_checked_address_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address between check and connection (DNS rebinding) has no second chance."""
    lookups: list[str] = []

    def look_up(host: str, family: int) -> list[FoundAddress]:
        lookups.append(host)
        return [FoundAddress(socket.AF_INET, 0, "127.0.0.1" if len(lookups) == 1 else "127.0.0.2")]

    monkeypatch.setattr(name_lookups, "_look_up", look_up)
    monkeypatch.setattr(sessions, "is_public", lambda address: address == "127.0.0.1")
    with serving(content(b"a picture")) as url:
        port = url.rpartition(":")[2]
        assert await download(f"http://rebinding.example:{port}/", ImageLinks.PUBLIC) == b"a picture"

    assert lookups == ["rebinding.example"]


async def test_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, family: int) -> list[FoundAddress]:
        return [FoundAddress(socket.AF_INET, 0, each) for each in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(name_lookups, "_look_up", look_up)

    assert "not public" in await refusal("http://mixed.example/", ImageLinks.PUBLIC)


async def test_links_may_be_disabled() -> None:
    assert "follows no links" in await refusal("https://x.example/a.png", ImageLinks.DISABLED)
