from __future__ import annotations

import base64
import datetime
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from eta_guard import ChatModelEngine, GuardPolicy
from eta_guard.engines.chat_model.messages import as_read
from eta_guard.errors import ImageInputError
from eta_guard.request.conversation import read_conversation
from eta_guard.request.fetching import ImageFetcher, is_public
from eta_guard.request.reading import Reading
from tests.chat_fakes import FakeChat
from tests.fakes import SAFE, Rig, image_block, verdict_of
from tests.request.test_images import PNG, b64, encode, picture

HOST, OTHER, ELSEWHERE = "images.example.org", "cdn.example.net", "evil.example.com"
HOSTS = (HOST, "*.example.net")


# ── addresses ──


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "fe80::1%eth0", "localhost", ""),
    ],
)
def test_addresses_that_are_not_public_are_refused_under_any_notation(address: str) -> None:
    assert not is_public(address)
    asked: list[str] = []

    def resolver(host: str) -> list[tuple[str, int]]:
        asked.append(host)
        return [("93.184.215.14", 443), (address, 443)]

    fetch = ImageFetcher(HOSTS, resolve=resolver)
    with pytest.raises(ImageInputError, match="not public"):
        fetch(f"https://{HOST}/cup.png")
    assert asked == [HOST]


def test_public_addresses_are_accepted() -> None:
    for address in (
        "93.184.215.14",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "64:ff9b::5db8:d70e",
    ):
        assert is_public(address), address


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"http://{HOST}/cup.png", "only https"),
        ("https://evil.example.com/cup.png", "does not name"),
        ("https://example.net/cup.png", "does not name"),
        ("https://cdn.example.net.evil.com/cup.png", "does not name"),
        ("https://xexample.net/cup.png", "does not name"),
        (f"https://{HOST}@evil.example.com/cup.png", "a name or a password"),
        (f"https://me:word@{HOST}/cup.png", "a name or a password"),
        (f"https://{HOST}:8443/cup.png", "names a port"),
        ("https://127.0.0.1/cup.png", "does not name"),
        ("https://[::1]/cup.png", "does not name"),
        ("https://2130706433/cup.png", "does not name"),
        ("https:///cup.png", "does not name|cannot be fetched"),
        (f"https://{HOST}\\@evil.example.com/cup.png", "."),
    ],
)
def test_what_is_not_on_the_list_is_not_even_resolved(address: str, says: str) -> None:
    def resolver(host: str) -> list[tuple[str, int]]:
        raise AssertionError(host)

    with pytest.raises(ImageInputError, match=says) as caught:
        ImageFetcher(HOSTS, resolve=resolver)(address)
    assert "word" not in str(caught.value).replace("password", "")
    assert "cup.png" not in str(caught.value)


def test_names_are_compared_as_the_network_does() -> None:
    seen: list[str] = []

    def resolver(host: str) -> list[tuple[str, int]]:
        seen.append(host)
        return []

    for host in ("IMAGES.example.ORG", f"{HOST}.", "a.b.example.net"):
        with pytest.raises(ImageInputError, match="not public"):
            ImageFetcher(HOSTS, resolve=resolver)(f"https://{host}/")
    assert len(seen) == 3


def test_a_name_that_cannot_be_resolved_is_an_input_error() -> None:
    def resolver(host: str) -> list[tuple[str, int]]:
        raise OSError("no such host")

    with pytest.raises(ImageInputError, match="cannot be fetched"):
        ImageFetcher(HOSTS, resolve=resolver)(f"https://{HOST}/")


# ── a server ──


class Served:
    """What stands at each path, and what was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.released = Event()
        self.port = 0
        self.verify = ssl.create_default_context()

    def fetcher(self, **settings: Any) -> ImageFetcher:
        """A fetcher for whom the names of the list stand for the server."""
        given: dict[str, Any] = {
            "resolve": lambda host: [("127.0.0.1", self.port)],
            "accepts": lambda address: address == "127.0.0.1",
            "verify": self.verify,
            "seconds": 5.0,
        }
        return ImageFetcher(**{"hosts": HOSTS, **given, **settings})

    def put(self, path: str, body: bytes = PNG, kind: str = "image/png", **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {"Content-Type": kind, **named}, body)
        return f"https://{HOST}{path}"

    def redirect(self, path: str, to: str) -> str:
        self.pages[path] = (302, {"Location": to}, b"")
        return f"https://{HOST}{path}"


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(one) for one in (HOST, OTHER)]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    pem = certificate(tmp_path)
    site = Served()
    site.verify = ssl.create_default_context(cafile=str(pem))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.headers["Host"], self.path))
            status, headers, body = site.pages[self.path.partition("?")[0]]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            if "X-Stalls" in headers:
                self.wfile.flush()
                site.released.wait(20)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who reads no further hangs up

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    site.port = server.server_port
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()


@pytest.mark.loopback
@pytest.mark.enable_socket
class TestServer:
    def test_a_picture_is_fetched_once_under_its_own_name(self, served: Served) -> None:
        address = served.put("/cup.png")
        fetch = served.fetcher()
        assert fetch(f"{address}?size=1#top") == fetch(f"{address}?size=1#top") == PNG
        assert served.asked == [(HOST, "/cup.png?size=1")]

    def test_a_failure_is_asked_for_once_too(self, served: Served) -> None:
        served.pages["/gone"] = (404, {}, b"")
        fetch = served.fetcher()
        for _ in range(2):
            with pytest.raises(ImageInputError, match="status 404"):
                fetch(f"https://{HOST}/gone")
        assert len(served.asked) == 1

    def test_the_certificate_must_be_the_hosts(self, served: Served) -> None:
        served.put("/cup.png")
        fetch = served.fetcher(hosts=("other.example.org",))
        with pytest.raises(ImageInputError, match="cannot be fetched"):
            fetch("https://other.example.org/cup.png")
        with pytest.raises(ImageInputError, match="cannot be fetched"):
            served.fetcher(verify=True)(f"https://{HOST}/cup.png")
        assert served.asked == []

    def test_redirects_are_followed_to_hosts_on_the_list(self, served: Served) -> None:
        served.put("/cup.png")
        served.redirect("/b", "/cup.png")
        start = served.redirect("/a", f"https://{OTHER}/b")
        assert served.fetcher()(start) == PNG
        assert served.asked == [(HOST, "/a"), (OTHER, "/b"), (OTHER, "/cup.png")]

    @pytest.mark.parametrize(
        ("to", "says"),
        [
            (f"https://{ELSEWHERE}/cup.png", "does not name"),
            (f"http://{HOST}/cup.png", "only https"),
            ("https://127.0.0.1/cup.png", "does not name"),
            (f"//{ELSEWHERE}/cup.png", "does not name"),
            ("file:///etc/passwd", "only https"),
            (f"https://{HOST}:22/", "names a port"),
            ("", "redirects more than 3 times"),
        ],
    )
    def test_a_redirect_is_checked_like_an_address(
        self, served: Served, to: str, says: str
    ) -> None:
        start = served.redirect("/a", to)
        with pytest.raises(ImageInputError, match=says):
            served.fetcher()(start)
        assert len(served.asked) == (1 if to else 4)

    def test_a_redirect_to_a_name_of_a_private_address_is_refused(self, served: Served) -> None:
        start = served.redirect("/a", f"https://{OTHER}/cup.png")
        places = {HOST: [("127.0.0.1", served.port)], OTHER: [("10.0.0.1", 443)]}
        with pytest.raises(ImageInputError, match="not public"):
            served.fetcher(resolve=places.__getitem__)(start)

    def test_the_address_that_was_checked_is_the_one_that_is_asked(self, served: Served) -> None:
        """A name that stands for another address the second time gains nothing by it."""
        address = served.put("/cup.png")
        answers = iter([[("127.0.0.1", served.port)], [("10.0.0.1", 443)]])
        fetch = served.fetcher(resolve=lambda host: next(answers))
        assert fetch(address) == PNG
        assert next(answers) == [("10.0.0.1", 443)]  # nobody asked a second time

    def test_another_address_is_tried_where_one_does_not_answer(self, served: Served) -> None:
        address = served.put("/cup.png")
        places = [("127.0.0.1", 1), ("127.0.0.1", served.port)]
        assert served.fetcher(resolve=lambda host: places)(address) == PNG

    def test_there_is_a_limit_of_size_whatever_the_server_says(self, served: Served) -> None:
        large = served.put("/large", PNG + b"x" * 4000)
        with pytest.raises(ImageInputError, match="more than 3,000 bytes"):
            served.fetcher(most_bytes=3000)(large)
        endless = served.put("/endless", b"x" * 4000, Content_Length="99999999999")
        with pytest.raises(ImageInputError, match="more than 3,000 bytes"):
            served.fetcher(most_bytes=3000)(endless)

    def test_a_server_that_says_less_than_it_sends_is_cut_there(self, served: Served) -> None:
        short = served.put("/short", PNG + b"x" * 99, Content_Length=str(len(PNG)))
        assert served.fetcher()(short) == PNG

    def test_a_server_that_stalls_is_left(self, served: Served) -> None:
        stalls = served.put("/stalls", PNG[:9], Content_Length="99", X_Stalls="yes")
        with pytest.raises(ImageInputError, match="cannot be fetched"):
            served.fetcher(seconds=0.3)(stalls)

    @pytest.mark.parametrize("kind", ["text/html", "application/pdf", "video/mp4"])
    def test_what_says_that_it_is_no_picture_is_refused(self, served: Served, kind: str) -> None:
        with pytest.raises(ImageInputError, match=f"'{kind}', which is no picture"):
            served.fetcher()(served.put("/page", kind=f"{kind}; charset=utf-8"))

    def test_what_comes_compressed_is_refused(self, served: Served) -> None:
        with pytest.raises(ImageInputError, match="compressed"):
            served.fetcher()(served.put("/zip", Content_Encoding="gzip"))

    def test_a_lie_about_the_type_is_found_out(self, served: Served) -> None:
        address = served.put("/page", b"<html>", kind="image/png")
        reading = Reading(fetch=served.fetcher())
        with pytest.raises(ImageInputError, match=r"^Message 0, block 0: .*cannot be decoded"):
            read_conversation([HumanMessage([{"type": "image", "url": address}])], reading)

    @pytest.mark.parametrize("passed_on", [False, True])
    def test_everyone_is_given_the_bytes_that_were_fetched(
        self, served: Served, passed_on: bool
    ) -> None:
        jpeg = encode(picture(16, 16), "JPEG")
        address = served.put("/cup", jpeg, kind="application/octet-stream")
        forms: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (
                {"type": "image_url", "image_url": {"url": address, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": url(jpeg), "detail": "low"}},
            ),
            (
                {"type": "image_url", "image_url": address},
                {"type": "image_url", "image_url": url(jpeg)},
            ),
            (
                {"type": "image", "url": address, "mime_type": "image/png", "id": "1"},
                {"type": "image", "url": url(jpeg), "mime_type": "image/jpeg", "id": "1"},
            ),
            (
                {"type": "image", "source": {"type": "url", "url": address}, "cache_control": {}},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/jpeg", "data": b64(jpeg)},
                    "cache_control": {},
                },
            ),
            (
                {"type": "input_image", "image_url": address, "detail": "high"},
                {"type": "input_image", "image_url": url(jpeg), "detail": "high"},
            ),
            (
                {"type": "media", "mime_type": "image/png", "file_uri": address},
                {"type": "media", "mime_type": "image/jpeg", "data": b64(jpeg)},
            ),
            (
                {"file_data": {"mime_type": "image/png", "file_uri": address}},
                {"inline_data": {"mime_type": "image/jpeg", "data": b64(jpeg)}},
            ),
            (
                {"type": "input_file", "file_url": address},
                {"type": "input_file", "filename": "image.jpeg", "file_data": url(jpeg)},
            ),
        ]
        reading = Reading(passed_on=passed_on, fetch=served.fetcher())
        given = HumanMessage([form for form, _ in forms])
        conversation = read_conversation([given], reading)
        assert len(served.asked) == 1
        assert len(conversation.pictures) == len(forms)
        if passed_on:
            sent = as_read(conversation)[0]
            assert json.loads(json.dumps(sent.content)) == [wanted for _, wanted in forms]
        assert given.content == [form for form, _ in forms]

    def test_what_is_fetched_again_must_be_what_was_evaluated(
        self, served: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("eta_guard.session.ImageFetcher", lambda hosts: served.fetcher())
        dark, bright = (base64.b64decode(image_block(score)["base64"]) for score in (SAFE, 0.9))
        address = served.put("/cup", dark)
        message = HumanMessage([{"type": "image", "url": address}])
        for content in (dark, bright):
            served.put("/cup", dark)
            model = FakeChat()
            rig = Rig(GuardPolicy(image_hosts=HOSTS), engine=ChatModelEngine(model))  # type: ignore[arg-type]
            graph = rig.graph().compile(
                checkpointer=InMemorySaver(), interrupt_after=["pre_evaluate"]
            )
            config: Any = {"configurable": {"thread_id": "1"}}
            graph.invoke({"messages": [message]}, config)
            served.put("/cup", content)
            if content is bright:
                with pytest.raises(ImageInputError, match="something else than what was evaluated"):
                    graph.invoke(None, config)
                assert model.calls == []
            else:
                reply: AIMessage = graph.invoke(None, config)["messages"][-1]
                assert verdict_of(reply).decision == "passed"
                assert len(str(verdict_of(reply).images[0].fetched)) == 64


def url(data: bytes) -> str:
    return f"data:image/jpeg;base64,{b64(data)}"
