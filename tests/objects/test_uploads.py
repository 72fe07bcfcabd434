"""Uploads in an object store: over several requests, on several nodes, in many parts, and what stays behind."""

from __future__ import annotations

import asyncio
import hashlib
import secrets

import pytest

from naru.core.errors import BadRequest, Unavailable
from naru.storage.object import Sizes, layout
from naru.storage.object.layout import Piece, Segment
from tests.contracts.storing import Recorder, body, key_of, new_id, whole
from tests.objects.conftest import MIB, SIZES, Node, node


async def objects(one: Node) -> dict[str, int]:
    return {blob.key: blob.size async for blob in one.blobs.list()}


async def test_one_request_is_one_object_which_becomes_the_blob(url: str) -> None:
    one, upload, data = node(url), new_id(), secrets.token_bytes(6 * MIB + 17)
    assert await one.uploads.append(upload, 0, body(data[: 2 * MIB], data[2 * MIB :]), None) == len(data)
    before = await objects(one)
    key = await one.uploads.commit(upload, key_of(data))
    await one.uploads.discard(upload, keep=key)
    assert await objects(one) == before == {key: len(data)}, "nothing was copied, moved or added"
    assert await whole(one.blobs.read(key)) == data


@pytest.mark.parametrize("chunk", [1000, 5000, MIB, 3 * MIB])
async def test_every_request_on_another_node(url: str, chunk: int) -> None:
    nodes = [node(url), node(url), node(url)]
    data = secrets.token_bytes(min(chunk * 7 + 3, 10 * MIB))
    upload, offset = new_id(), 0
    for number, start in enumerate(range(0, len(data), chunk)):
        now = nodes[number % 3]
        assert (await now.uploads.length(upload) or 0) == offset
        offset = await now.uploads.append(upload, offset, body(data[start : start + chunk]), hashlib.sha256())
    last = nodes[0]
    assert await last.uploads.length(upload) == len(data)
    assert not last.uploads.same(upload), "others have written: its hash is not of these bytes"
    assert await whole(last.uploads.read(upload)) == data
    assert last.uploads.same(upload), "it has read them now"
    key = await last.uploads.commit(upload, key_of(data))
    await last.uploads.discard(upload, keep=key)
    other = nodes[1]
    assert await other.blobs.size(key) == len(data)
    assert await whole(other.blobs.read(key)) == data
    for start, end in ((0, 1), (chunk - 1, chunk + 1), (len(data) - 1, None), (10, len(data) + 5), (len(data), None)):
        assert await whole(other.blobs.read(key, start, end)) == data[start:end]
    await other.blobs.delete([key])
    assert await other.blobs.size(key) is None
    assert await objects(last) == {}, "all pieces went with it"


async def test_small_chunks_do_not_become_small_pieces(url: str) -> None:
    one, upload, data = node(url), new_id(), secrets.token_bytes(20_000)
    for start in range(0, len(data), 1000):
        await one.uploads.append(upload, start, body(data[start : start + 1000]), None)
    key = await one.uploads.commit(upload, key_of(data))
    await one.uploads.discard(upload, keep=key)
    listed = [found async for found in one.blobs.list()]
    assert [found.key for found in listed] == [key]
    assert await whole(one.blobs.read(key)) == data
    inside = one.uploads._client  # type: ignore[attr-defined]
    kept = [found async for found in inside.list(layout.folder(upload) + "/")]
    assert len(kept) <= 20_000 // SIZES.tail + 2, "with the index"


async def test_an_upload_of_more_parts_than_an_object_may_have(url: str) -> None:
    """Two parts of 5 MiB each: three objects and an index."""
    one, upload = node(url), new_id()
    pieces = [secrets.token_bytes(700_000) for _ in range(32)]
    data, recorder = b"".join(pieces), Recorder()
    assert await one.uploads.append(upload, 0, body(*pieces), recorder) == len(data)
    assert bytes(recorder.seen) == data
    assert one.uploads.same(upload)
    sizes = sorted((await objects(one)).values())
    assert sizes == sorted([10 * MIB, 10 * MIB, len(data) - 20 * MIB])
    key = await one.uploads.commit(upload, key_of(data))
    assert layout.is_index(key)
    assert await one.blobs.size(key) == len(data)
    assert await whole(one.blobs.read(key)) == data
    assert await one.uploads.commit(upload, key_of(data)) == key, "a second commit has the same effect"


async def test_two_nodes_at_once_never_make_a_blob_of_what_was_not_hashed(url: str) -> None:
    one, two, upload = node(url), node(url), new_id()
    first, second = Recorder(), Recorder()
    await asyncio.gather(
        one.uploads.append(upload, 0, body(b"a" * 50_000), first),
        two.uploads.append(upload, 0, body(b"b" * 50_000), second),
    )
    for now, recorder in ((one, first), (two, second)):
        await now.uploads.length(upload)
        if now.uploads.same(upload):
            key = await now.uploads.commit(upload, key_of(bytes(recorder.seen)))
            assert await whole(now.blobs.read(key)) == bytes(recorder.seen)
    assert not (one.uploads.same(upload) and two.uploads.same(upload))


async def test_a_cut_on_one_node_is_seen_by_the_other(url: str) -> None:
    one, two, upload = node(url), node(url), new_id()
    await one.uploads.append(upload, 0, body(b"0123456789"), Recorder())
    await two.uploads.append(upload, 4, body(), None)
    assert await one.uploads.length(upload) == 4
    assert not one.uploads.same(upload)
    key = await one.uploads.commit(upload, key_of(b"0123"))
    assert await whole(one.blobs.read(key)) == b"0123"
    assert await one.blobs.size(key) == 4
    await one.uploads.discard(upload, keep=key)
    assert await whole(two.blobs.read(key)) == b"0123"


async def test_too_many_chunks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_SEGMENTS", 3)
    one, upload = node(url), new_id()
    for number in range(3):
        await one.uploads.append(upload, number, body(b"x"), None)
    with pytest.raises(BadRequest, match="larger"):
        await one.uploads.append(upload, 3, body(b"x"), None)


async def test_large_uploads_wait_for_their_turn(url: str) -> None:
    one = node(url, Sizes(part=5 * MIB, streams=1, patience=0.5))
    release = asyncio.Event()

    async def slow() -> object:
        for _ in range(7):
            yield bytes(MIB)
        await release.wait()

    task = asyncio.create_task(one.uploads.append(new_id(), 0, slow(), None))  # type: ignore[arg-type]
    await asyncio.sleep(0.2)
    with pytest.raises(Unavailable) as caught:
        await one.uploads.append(new_id(), 0, body(bytes(4 * MIB), bytes(4 * MIB)), None)
    assert caught.value.headers["Retry-After"] == "10"
    assert await one.uploads.append(new_id(), 0, body(bytes(MIB // 2)), None) == MIB // 2, "small ones need no turn"
    release.set()
    assert await task == 7 * MIB


async def test_moved_content_has_the_key_that_it_had(url: str) -> None:
    one = node(url)
    for size in (0, 5, 6 * MIB + 1):
        data = secrets.token_bytes(size)
        key = key_of(data, "sha512")
        await one.uploads.store(key, body(*[data[at : at + 400_000] for at in range(0, size, 400_000)]), size)  # type: ignore[attr-defined]
        assert await whole(one.blobs.read(key)) == data


async def test_an_error_while_content_is_moved_leaves_nothing(url: str) -> None:
    async def broken() -> object:
        for _ in range(5):
            yield bytes(MIB)
        raise ValueError("other bytes")

    one = node(url)
    for size in (5, 10 * MIB):
        with pytest.raises(ValueError, match="other bytes"):
            await one.uploads.store(key_of(b"x"), broken(), size)  # type: ignore[attr-defined]
    assert await objects(one) == {}


def segments(*parts: tuple[int, int]) -> list[Segment]:
    return [Segment(f"{n:06x}-{start:014x}-{n:016x}", start, size, 0) for n, (start, size) in enumerate(parts)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], []),
        ([(0, 10)], [(0, 10, True)]),
        ([(0, 10), (10, 5)], [(0, 10, True), (1, 5, True)]),
        ([(0, 10), (4, 5)], [(0, 4, False), (1, 5, True)]),
        ([(0, 10), (10, 5), (10, 3)], [(0, 10, True), (2, 3, True)]),
        ([(0, 10), (10, 5), (12, 0)], [(0, 10, True), (1, 2, False)]),
        ([(0, 10), (0, 0)], []),
        ([(0, 10), (11, 5)], [(0, 10, True)]),  # a gap: not of this upload as it stands
        ([(0, 10), (0, 10)], [(1, 10, True)]),
        ([(0, 4), (4, 4), (8, 4), (2, 1)], [(0, 2, False), (3, 1, True)]),
        ([(0, 0), (0, 3)], [(1, 3, True)]),
    ],
)
def test_what_the_names_say(parts: list[tuple[int, int]], expected: list[tuple[int, int, bool]]) -> None:
    listed = segments(*parts)
    upload = "ab" * 16
    found = layout.fold(upload, reversed(listed))
    assert found == tuple(
        Piece(f"streams/ab/{upload}/{listed[number].name}", length, whole) for number, length, whole in expected
    )


@pytest.mark.parametrize("change", [b"", b"{}", b"null", b"[]", b'{"version": 1, "pieces": []}'])
def test_a_damaged_index_is_noticed(change: bytes) -> None:
    upload = "ab" * 16
    path, content = layout.index_of(upload, layout.fold(upload, segments((0, 5), (5, 5))))
    assert [piece.length for piece in layout.read_index(path, content)] == [5, 5]
    with pytest.raises(ValueError, match="damaged"):
        layout.read_index(path, change)
