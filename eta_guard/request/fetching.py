"""Pictures that stand at a web address: fetched only from hosts that are named, and safely.

A message can name any address, so whoever fetches it can be made to ask the network that it stands
in. So: https alone, hosts on the list alone, no address that is not public, checked after the name
was resolved and connected to as it was checked, and all of that anew for each redirect.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import TYPE_CHECKING

from eta_guard.errors import ImageInputError
from eta_guard.request.sources import PASS_BYTES, shown

if TYPE_CHECKING:
    import httpx

Place = tuple[str, int]
"""An IP address and a port."""

_REDIRECTS = (301, 302, 303, 307, 308)
_PORT = 443
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str) -> list[Place]:
    """The addresses that a name stands for, as this machine resolves it."""
    found = socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    return [(str(place[0]), int(place[1])) for *_, place in found]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, under whatever notation."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if not inner and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner:
            found = inner
    return found.is_global and not found.is_multicast


@dataclass
class ImageFetcher:
    """Fetches pictures for one request, each address once.

    Example:
        >>> fetch = ImageFetcher(("images.example.org", "*.example.net"))
        >>> data = fetch("https://images.example.org/cup.png")
    """

    hosts: Collection[str]
    """Names in lower case; ``*.example.org`` stands for all names under it, but not for itself."""
    most_bytes: int = 20 * 1024 * 1024
    """Of one picture."""
    seconds: float = 10.0
    """For one picture, redirects included. Each wait for the server is bounded by what is left; one
    that sends its headers byte by byte can still hold a request for longer."""
    redirects: int = 3
    """Most redirects of one picture."""
    resolve: Callable[[str], Sequence[Place]] = field(default=resolve, repr=False)
    """Gives the addresses of a name."""
    accepts: Callable[[str], bool] = field(default=is_public, repr=False)
    """Says whether an IP address may be connected to."""
    verify: SSLContext | bool = field(default=True, repr=False)
    """How certificates are checked: as httpx takes it."""
    _fetched: dict[str, bytes | ImageInputError] = field(default_factory=dict, repr=False)

    def __call__(self, address: str) -> bytes:
        """Returns what stands at an address; the same, however often it is asked.

        Raises:
            ImageInputError: It may not be fetched, or cannot be.
        """
        if address not in self._fetched:
            try:
                self._fetched[address] = self._fetch(address)
            except ImageInputError as error:
                self._fetched[address] = error
        found = self._fetched[address]
        if isinstance(found, ImageInputError):
            raise ImageInputError(found.message, hint=found.hint)
        return found

    def _fetch(self, address: str) -> bytes:
        import httpx

        ends = time.monotonic() + self.seconds
        try:
            url = httpx.URL(address)
            with httpx.Client(verify=self.verify, trust_env=False) as client:
                for _ in range(self.redirects + 1):
                    self._check(url)
                    with closing(self._ask(client, url, ends)) as response:
                        if response.status_code in _REDIRECTS:
                            url = url.join(response.headers.get("location", ""))
                        else:
                            return self._read(response, url, ends)
        except ImageInputError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise _refusal(address, f"cannot be fetched ({type(error).__name__})") from error
        raise _refusal(address, f"redirects more than {self.redirects} times")

    def _check(self, url: httpx.URL) -> None:
        if url.scheme != "https":
            raise _refusal(
                f"{url.scheme}://{url.host}/",
                f"is {url.scheme or 'no address'}; only https is fetched",
            )
        if url.userinfo:
            raise _refusal(f"{url.scheme}://{url.host}/", "holds a name or a password")
        if url.port is not None:
            raise _refusal(f"{url.scheme}://{url.host}/", "names a port")
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        named = any(
            host.endswith(name[1:]) if name.startswith("*.") else host == name
            for name in self.hosts
        )
        if not named:
            raise _refusal(
                f"{url.scheme}://{url.host}/",
                "is of a host that the policy's `image_hosts` does not name",
            )

    def _ask(self, client: httpx.Client, url: httpx.URL, ends: float) -> httpx.Response:
        """Asks the very address that was checked: a second look-up could find another one."""
        import httpx

        host = url.raw_host.decode("ascii")
        places = list(self.resolve(host))
        if not places or not all(self.accepts(ip) for ip, _ in places):
            raise _refusal(
                f"{url.scheme}://{url.host}/", "is of a host whose address is not public"
            )
        failure: Exception | None = None
        for ip, port in places:
            request = client.build_request(
                "GET",
                url.copy_with(host=ip, port=port, fragment=None),
                headers={"Host": host, "Accept": "image/*", "Accept-Encoding": "identity"},
                timeout=_left(ends),
                extensions={"sni_hostname": host},
            )
            try:
                return client.send(request, stream=True, follow_redirects=False)
            except httpx.ConnectError as error:
                failure = error
        raise failure or OSError(host)

    def _read(self, response: httpx.Response, url: httpx.URL, ends: float) -> bytes:
        if response.status_code != 200:
            raise _refusal(
                f"{url.scheme}://{url.host}/", f"answers with status {response.status_code}"
            )
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/") and kind not in {"", "application/octet-stream"}:
            raise _refusal(
                f"{url.scheme}://{url.host}/", f"holds {kind[:60]!r}, which is no picture"
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _refusal(f"{url.scheme}://{url.host}/", "answers compressed, unasked")
        content = bytearray()
        for piece in response.iter_raw():
            content += piece
            if len(content) > self.most_bytes:
                raise _refusal(
                    f"{url.scheme}://{url.host}/", f"holds more than {self.most_bytes:,} bytes"
                )
            _left(ends)
        return bytes(content)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _refusal(address: str, what: str) -> ImageInputError:
    return ImageInputError(f"the picture at {shown(address)} {what}.", hint=PASS_BYTES)
