"""Laws of the download, against a server on this machine that fails in each way."""

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from dmlib.data import DataError, cifar, cifar10, fashion, fashion_mnist
from dmlib.data.download import fetch
from dmlib.data.fashion import IdxFile, parse_idx

NAME = "bytes.bin"
GOOD = bytes(torch.randint(0, 256, (300_000,), generator=torch.Generator().manual_seed(0)).tolist())
SHA256 = hashlib.sha256(GOOD).hexdigest()


class Server:
    """Serves `files`; the first part of an address says how it goes wrong."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.release = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.handle_error = lambda *_: None  # a client that hangs up is part of the test
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def mirror(self, way: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{way}"

    def stop(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                _, way, name = self.path.split("/")
                getattr(self, way)(server.files[name])

            def log_message(self, *_: object) -> None:
                pass

            def _head(self, length: int | None, **headers: str) -> None:
                self.send_response(200)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()

            def ok(self, data: bytes) -> None:
                self._head(len(data))
                self.wfile.write(data)

            def missing(self, data: bytes) -> None:
                self.send_error(404)

            def broken(self, data: bytes) -> None:
                self.send_error(500)

            def cut(self, data: bytes) -> None:
                self._head(len(data))
                self.wfile.write(data[: len(data) // 2])

            def silently_cut(self, data: bytes) -> None:
                self._head(None)
                self.wfile.write(data[: len(data) // 2])

            def wrong(self, data: bytes) -> None:
                self._head(len(data))
                self.wfile.write(data[:-1] + bytes([data[-1] ^ 1]))

            def page(self, data: bytes) -> None:
                self._head(None, Content_Type="text/html")
                self.wfile.write(b"<html>Please log in to this network</html>")

            def mute(self, data: bytes) -> None:
                server.release.wait(20)

            def stalls(self, data: bytes) -> None:
                self._head(len(data))
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                server.release.wait(20)

            def unpacks(self, data: bytes) -> None:
                """As some stores do with a .gz: the packing is declared to be the transport's."""
                packed = "gzip" in self.headers.get("Accept-Encoding", "")
                self._head(len(data), **({"Content_Encoding": "gzip"} if packed else {}))
                self.wfile.write(data)

        return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server({NAME: GOOD})
    yield running
    running.stop()


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def get(cache: Path, *mirrors: str) -> Path:
    silent = any(mirror.endswith(("mute", "stalls")) for mirror in mirrors)
    timeout = 1.0 if silent else 20.0
    return fetch(NAME, sha256=SHA256, mirrors=mirrors, cache=cache, timeout=timeout, progress=False)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


WAYS = ("missing", "broken", "cut", "silently_cut", "wrong", "page", "mute", "stalls")


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_leaves_nothing_and_names_file_address_and_what_to_try(server, tmp_path, way):
    with pytest.raises(DataError) as caught:
        get(tmp_path / "cache", server.mirror(way))
    message = str(caught.value)
    assert NAME in message
    assert f"{server.mirror(way)}/{NAME}" in message
    assert "Try: check the connection and run again" in message
    assert str(tmp_path / "cache" / NAME) in message
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize("way", WAYS)
def test_a_failing_mirror_is_passed_over(server, tmp_path, way):
    path = get(tmp_path, server.mirror(way), server.mirror("ok"), server.mirror("missing"))
    assert path.read_bytes() == GOOD
    assert server.asked == [f"/{way}/{NAME}", f"/ok/{NAME}"]
    assert left_in(tmp_path) == [NAME]


def test_with_all_mirrors_down_each_is_named_with_its_reason_and_a_later_run_succeeds(
    server, tmp_path
):
    down = closed_port()
    with pytest.raises(DataError) as caught:
        get(tmp_path, down, server.mirror("missing"), server.mirror("wrong"), server.mirror("mute"))
    message = str(caught.value)
    assert f"{down}/{NAME}: ConnectionError" in message
    assert f"{server.mirror('missing')}/{NAME}: HTTPError: 404" in message
    assert f"{server.mirror('wrong')}/{NAME}: wrong content" in message
    assert f"{server.mirror('mute')}/{NAME}: ReadTimeout" in message
    assert left_in(tmp_path) == []
    assert get(tmp_path, server.mirror("ok")).read_bytes() == GOOD


def test_a_cached_file_is_not_fetched_again(server, tmp_path):
    get(tmp_path, server.mirror("ok"))
    get(tmp_path, server.mirror("ok"))
    get(tmp_path)
    assert server.asked == [f"/ok/{NAME}"]


@pytest.mark.parametrize("damage", [GOOD[:1000], b"", GOOD[:-1] + b"x", GOOD + b"x"])
def test_a_damaged_cached_file_is_replaced_or_named(server, tmp_path, damage):
    (tmp_path / NAME).write_bytes(damage)
    with pytest.raises(DataError, match="the file that lies there is broken"):
        get(tmp_path, server.mirror("missing"))
    assert get(tmp_path, server.mirror("ok")).read_bytes() == GOOD
    assert left_in(tmp_path) == [NAME]


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    import requests

    def chunks(self, chunk_size=1):
        yield b"the first"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", chunks)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, server.mirror("ok"))
    assert left_in(tmp_path) == []
    assert get(tmp_path, server.mirror("ok")).read_bytes() == GOOD


def test_a_folder_that_cannot_be_written_is_named_and_no_other_mirror_asked(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot be written.*try: make room"):
        get(tmp_path / "file" / "cache", server.mirror("ok"), server.mirror("ok"))


def test_without_mirrors_nothing_is_asked(server, tmp_path):
    with pytest.raises(DataError, match="no mirror"):
        get(tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_is_not_positive_is_refused(tmp_path, timeout):
    with pytest.raises(ValueError, match="timeout"):
        fetch(NAME, sha256=SHA256, mirrors=(), cache=tmp_path, timeout=timeout)


def test_the_bar_is_drawn_if_wanted_and_only_then(server, tmp_path, capfd):
    fetch(NAME, sha256=SHA256, mirrors=[server.mirror("ok")], cache=tmp_path / "a", progress=False)
    assert "%|" not in capfd.readouterr().err
    fetch(NAME, sha256=SHA256, mirrors=[server.mirror("ok")], cache=tmp_path / "b")
    assert "100%|" in capfd.readouterr().err


# The loaders, with small data sets of the same make


def idx(array: torch.Tensor) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + bytes(array.flatten().tolist())


@pytest.fixture
def small(server, tmp_path, monkeypatch):
    """A data set of seven images behind the server, its hashes pinned in place of the true ones."""
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (7, 28, 28), generator=g).to(torch.uint8)
    labels = torch.arange(7, dtype=torch.uint8)
    files = []
    for name, array in (("images-idx3.gz", images), ("labels-idx1.gz", labels)):
        server.files[name] = gzip.compress(idx(array), mtime=1)
        digests = (hashlib.sha256(b).hexdigest() for b in (server.files[name], idx(array)))
        files.append(IdxFile(name, tuple(array.shape), *digests))
    monkeypatch.setattr(fashion, "FILES", {"train": tuple(files)})
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "debian")
    return images, labels.long()


def load(server, cache: Path, *ways: str):
    mirrors = [server.mirror(way) for way in ways]
    return fashion_mnist("train", cache=cache, mirrors=mirrors, progress=False)


def test_fashion_mnist_downloads_once_and_reads_what_was_packed(server, small, tmp_path):
    for ways in (("missing", "ok"), ()):
        images, labels = load(server, tmp_path / "cache", *ways)
        assert_close((images, labels), small)
    assert [asked.split("/")[1] for asked in server.asked] == ["missing", "ok"] * 2


def test_a_store_that_unpacks_gz_on_the_way_is_asked_not_to(server, small, tmp_path):
    assert_close(load(server, tmp_path / "cache", "unpacks"), small)


def test_debians_packing_of_the_same_content_is_found_without_a_download(server, small, tmp_path):
    (tmp_path / "debian").mkdir()
    for name, data in list(server.files.items()):
        if name.endswith(".gz"):
            other = gzip.compress(gzip.decompress(data), mtime=2)
            assert other != data
            (tmp_path / "debian" / name).write_bytes(other)
    assert_close(load(server, tmp_path / "cache"), small)
    assert server.asked == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("folder", ["cache", "debian"])
@pytest.mark.parametrize("damage", ["truncated", "not gzip", "other content", "bad deflate"])
def test_a_damaged_file_is_never_read(server, small, tmp_path, folder, damage):
    name = "images-idx3.gz"
    good = server.files[name]
    bad = {
        "truncated": good[: len(good) // 2],
        "not gzip": b"<html>",
        "other content": gzip.compress(idx(torch.zeros(7, 28, 28, dtype=torch.uint8))),
        "bad deflate": good[:20] + bytes(50) + good[70:],
    }[damage]
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_bytes(bad)
    with pytest.raises(DataError, match=r"images-idx3.gz could not be downloaded(.|\n)*apt-get"):
        load(server, tmp_path / "cache", "missing")
    assert_close(load(server, tmp_path / "cache", "ok"), small)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "header"),
        (bytes((0, 0, 13, 1)) + (3).to_bytes(4, "big") + b"abc", "header"),
        (bytes((0, 0, 8, 2)) + (3).to_bytes(4, "big") + b"abc", "header"),
        (bytes((0, 0, 8, 1)) + (3).to_bytes(4, "little") + b"abc", "header"),
        (bytes((0, 0, 8, 1)) + (4).to_bytes(4, "big") + b"abcd", "header"),
        (bytes((0, 0, 8, 1)) + (3).to_bytes(4, "big") + b"ab", "2 bytes of data, expected 3"),
        (bytes((0, 0, 8, 1)) + (3).to_bytes(4, "big") + b"abcd", "4 bytes of data, expected 3"),
    ],
)
def test_idx_with_another_header_or_length_is_refused(raw, says):
    with pytest.raises(DataError, match=says):
        parse_idx(raw, IdxFile("labels", (3,), "", ""))


@pytest.mark.parametrize("loader", [fashion_mnist, cifar10])
def test_an_unknown_split_is_refused(loader):
    with pytest.raises(ValueError, match=r'split must be "train" or "test", got \'validation\''):
        loader("validation", mirrors=())


N = 4  # records in each part of the small CIFAR-10


def cifar_parts() -> dict[str, bytes]:
    g = torch.Generator().manual_seed(2)
    parts = {}
    for name in (*cifar.PARTS["train"], *cifar.PARTS["test"]):
        pixels = torch.randint(0, 256, (N, 3072), generator=g)
        labels = torch.randint(0, 10, (N, 1), generator=g)
        parts[name] = bytes(torch.cat([labels, pixels], 1).flatten().tolist())
    return parts


def packed(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def serve_cifar(server, monkeypatch, data: bytes) -> None:
    server.files[cifar.ARCHIVE] = data
    monkeypatch.setattr(cifar, "PER_PART", N)
    monkeypatch.setattr(cifar, "SHA256", hashlib.sha256(data).hexdigest())


def test_cifar10_reads_label_then_red_green_blue_of_each_part_in_order(
    server, tmp_path, monkeypatch
):
    parts = cifar_parts()
    serve_cifar(server, monkeypatch, packed(parts))
    for split, names in cifar.PARTS.items():
        images, labels = cifar10(
            split, cache=tmp_path, mirrors=[server.mirror("ok")], progress=False
        )
        assert labels.dtype == torch.int64
        for k, name in enumerate(names):
            for i in range(N):
                record = parts[name][i * 3073 : (i + 1) * 3073]
                assert int(labels[k * N + i]) == record[0]
                for c, y, x in ((0, 0, 0), (1, 2, 3), (2, 31, 30)):
                    assert int(images[k * N + i, c, y, x]) == record[1 + 1024 * c + 32 * y + x]
        assert len(images) == N * len(names)
    assert server.asked == [f"/ok/{cifar.ARCHIVE}"]
    assert left_in(tmp_path) == [cifar.ARCHIVE]


def test_cifar10_that_is_cut_leaves_nothing(server, tmp_path, monkeypatch):
    serve_cifar(server, monkeypatch, packed(cifar_parts()))
    with pytest.raises(DataError, match="could not be downloaded"):
        cifar10(cache=tmp_path, mirrors=[server.mirror("cut")], progress=False)
    assert left_in(tmp_path) == []


def test_an_archive_that_reaches_outside_writes_nothing_and_is_refused(
    server, tmp_path, monkeypatch
):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        evil = tarfile.TarInfo("../evil")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
        link = tarfile.TarInfo(cifar.PARTS["test"][0])
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    serve_cifar(server, monkeypatch, buffer.getvalue())
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"test_batch\.bin must be a file"):
        cifar10("test", cache=cache, mirrors=[server.mirror("ok")], progress=False)
    assert left_in(tmp_path) == ["cache", cifar.ARCHIVE]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda parts: {}, "is missing"),
        (lambda parts: {k: v[:-1] for k, v in parts.items()}, "must be a file of 12292 bytes"),
        (lambda parts: {k: b"\x0a" + v[1:] for k, v in parts.items()}, r"labels must be 0\.\.9"),
    ],
)
def test_an_archive_of_another_make_is_refused(tmp_path, monkeypatch, change, says):
    monkeypatch.setattr(cifar, "PER_PART", N)
    path = tmp_path / cifar.ARCHIVE
    path.write_bytes(packed(change(cifar_parts())))
    with pytest.raises(DataError, match=says):
        cifar.read_archive(path, cifar.PARTS["test"])


def test_what_is_no_archive_is_refused(tmp_path):
    for data in (b"<html>", packed(cifar_parts())[:3000]):
        (tmp_path / "a.tar.gz").write_bytes(data)
        with pytest.raises(DataError, match=r"a\.tar\.gz is broken"):
            cifar.read_archive(tmp_path / "a.tar.gz", cifar.PARTS["test"])
