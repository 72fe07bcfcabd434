"""``fsck``: does what is stored agree with what the database says, byte for byte? And mending on request.

Runs beside a serving server: what a push or delete under way may explain is no finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from naru.core.digest import Digest, new_hash
from naru.core.errors import BlobUnknown, DigestInvalid, NaruError
from naru.core.manifest import parse
from naru.core.ports import BlobStore, Clock, StoredBlob
from naru.db import fsck as rows
from naru.db.blobs import mark_damaged, mark_whole
from naru.db.engine import Database
from naru.db.fsck import ArtifactRow, BlobRow, References
from naru.db.fsck_keys import file_problems
from naru.db.trash import fsck as trash_rows

#: A file without a row may belong to a push under way; one that is older does not.
ORPHAN_MICROSECONDS = 24 * 3600 * 1_000_000
PAGE = 500
HOLDERS = 3  # images that a finding about a blob names


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. ``mended`` says that it is so no more, or will be when the collector has run."""

    kind: str
    subject: str
    message: str
    mended: bool = False


#: (what is being looked at, how many are done, of how many)
Progress = Callable[[str, int, int], None]


class Fsck:
    def __init__(self, *, database: Database, blobs: BlobStore, clock: Clock, grace_seconds: int) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._grace = grace_seconds * 1_000_000

    async def run(self, *, hash_bytes: bool, repair: bool, progress: Progress) -> list[Finding]:
        """All findings. Without ``hash_bytes`` the bytes of blobs are not read, only their sizes compared."""
        blob_count, artifact_count = await self._database.read(rows.count)
        findings = [Finding("database", "file", problem) for problem in await self._database.read(file_problems)]
        findings += await self._check_blobs(blob_count, progress, hash_bytes=hash_bytes, repair=repair)
        findings += await self._check_files(blob_count, progress, repair=repair)
        findings += await self._check_links(repair=repair)  # before the queues: a blob without its link is collected
        findings += await self._check_artifacts(artifact_count, progress, repair=repair)
        findings += await self._check_tags(repair=repair)
        findings += await self._check_trash(repair=repair)  # before the counts: what is hidden is not counted
        findings += await self._check_queues(repair=repair)
        findings += await self._check_counts(repair=repair)
        return findings

    async def _check_blobs(self, total: int, progress: Progress, *, hash_bytes: bool, repair: bool) -> list[Finding]:
        findings: list[Finding] = []
        last = done = 0
        while page := await self._database.read(lambda tx, last=last: rows.blobs_after(tx, last, PAGE)):  # type: ignore[misc]
            for blob in page:
                problem = await self._problem_of(blob, hash_bytes=hash_bytes)
                if problem is not None and await self._still_there(blob):
                    mended = False
                    if blob.damaged and hash_bytes and await self._is_right(blob):
                        problem = "it is marked as damaged, and its bytes are right"
                        if repair:
                            await self._database.write(lambda tx, blob=blob: mark_whole(tx, blob.id, blob.storage_key))  # type: ignore[misc]
                            mended = True
                    elif repair and not blob.damaged:
                        await self._blobs.quarantine(blob.storage_key)
                        await self._database.write(lambda tx, blob=blob: mark_damaged(tx, blob.id))  # type: ignore[misc]
                        problem += "; put aside, not served any more: push the blob again to heal it"
                    held = await self._database.read(lambda tx, blob=blob: rows.holders(tx, blob.id, HOLDERS))  # type: ignore[misc]
                    problem += f" (images: {', '.join(held)}{', ...' if len(held) == HOLDERS else ''})" if held else ""
                    findings.append(Finding("blob", blob.digest, problem, mended=mended))
                done += 1
                progress("blobs", done, total)
            last = page[-1].id
        return findings

    async def _problem_of(self, blob: BlobRow, *, hash_bytes: bool) -> str | None:  # noqa: PLR0911 - one a line
        if blob.damaged:
            return "its bytes are lost or damaged: push the blob again to heal it"
        size = await self._blobs.size(blob.storage_key)
        if size is None:
            return "its file is missing"
        if size != blob.size:
            return f"its file has {size} bytes, not {blob.size}"
        if not hash_bytes:
            return None
        expected = Digest.parse(blob.digest)
        running = new_hash(expected.algorithm)
        try:
            async for piece in self._blobs.read(blob.storage_key):
                running.update(piece)
        except BlobUnknown:
            return "its file went away while it was read"
        if running.hexdigest() != expected.hex:
            return f"its bytes have the digest {expected.algorithm}:{running.hexdigest()}"
        return None

    async def _is_right(self, blob: BlobRow) -> bool:
        """Of one that is marked as damaged: the store may have been away, or another one, when it was found so."""
        return await self._problem_of(replace(blob, damaged=False), hash_bytes=True) is None

    async def _still_there(self, blob: BlobRow) -> bool:
        """Whether the row is as it was: the collector may have taken the blob, or a push healed it, meanwhile."""
        now = await self._database.read(lambda tx: rows.blobs_after(tx, blob.id - 1, 1))
        return bool(now) and now[0] == blob

    async def _check_files(self, total: int, progress: Progress, *, repair: bool) -> list[Finding]:
        findings: list[Finding] = []
        before = self._clock.now() - ORPHAN_MICROSECONDS
        batch: list[StoredBlob] = []
        done = 0
        async for stored in self._blobs.list():
            batch.append(stored)
            done += 1
            if len(batch) == PAGE:
                findings += await self._orphans(batch, before, repair=repair)
                batch = []
                progress("files", min(done, total), total)
        return findings + await self._orphans(batch, before, repair=repair)

    async def _orphans(self, batch: list[StoredBlob], before: int, *, repair: bool) -> list[Finding]:
        old = [stored for stored in batch if stored.modified < before]
        if not old:
            return []
        orphans = await self._database.read(lambda tx: rows.without_row(tx, old))
        if repair and orphans:
            await self._blobs.delete([stored.key for stored in orphans])
        return [
            Finding("file", stored.key, f"{stored.size} bytes that no blob needs", mended=repair) for stored in orphans
        ]

    async def _check_links(self, *, repair: bool) -> list[Finding]:
        cut = await self._database.read(rows.cut_links)
        if repair and cut:
            now = self._clock.now()
            await self._database.write(lambda tx: rows.link_again(tx, now))
        return [
            Finding("link", f"{name}, blob {digest}", "the image uses it, and the link to it is lost", repair)
            for _, _, name, digest in cut
        ]

    async def _check_artifacts(self, total: int, progress: Progress, *, repair: bool) -> list[Finding]:
        findings: list[Finding] = []
        last = done = 0
        while page := await self._database.read(lambda tx, last=last: rows.artifacts_after(tx, last, PAGE)):  # type: ignore[misc]
            for artifact in page:
                finding = await self._check_artifact(artifact, repair=repair)
                if finding is not None:
                    findings.append(finding)
                done += 1
            progress("artifacts", done, total)
            last = page[-1].id
        return findings

    async def _check_artifact(self, artifact: ArtifactRow, *, repair: bool) -> Finding | None:
        subject = f"{artifact.name}@{artifact.digest}"
        try:
            expected = Digest.parse(artifact.digest)
            found = Digest.of(artifact.content, expected.algorithm)
            if found != expected:
                return Finding("manifest", subject, f"its bytes have the digest {found}: push it again")
            manifest = parse(artifact.media_type, artifact.content)
        except DigestInvalid:
            return Finding("manifest", subject, "its digest is none")
        except NaruError as error:
            return Finding("manifest", subject, f"it is no valid manifest: {error.message}")
        named = {str(blob.digest) for blob in manifest.layers}
        if manifest.config is not None:
            named.add(str(manifest.config.digest))
        right = References(
            blobs=frozenset(named),
            children=tuple(str(child.digest) for child in manifest.children),
            subject=str(manifest.subject.digest) if manifest.subject is not None else None,
            manifest_size=len(artifact.content),
        )
        kept = await self._database.read(lambda tx: rows.references(tx, artifact.id))
        if kept is None or kept == right:
            return None
        if repair:
            await self._database.write(lambda tx: rows.set_references(tx, artifact, right))
        wrong = [name for name in References.__slots__ if getattr(kept, name) != getattr(right, name)]
        return Finding("references", subject, f"rows and manifest differ on its {' and '.join(wrong)}", mended=repair)

    async def _check_queues(self, *, repair: bool) -> list[Finding]:
        links = await self._database.read(rows.forgotten_links)
        lonely = await self._database.read(rows.forgotten_blobs)
        if repair and (links or lonely):
            due = self._clock.now() + self._grace
            await self._database.write(lambda tx: rows.review_links(tx, links, due))
            await self._database.write(lambda tx: rows.review_blobs(tx, [blob_id for blob_id, _ in lonely]))
        return [
            *(
                Finding("link", f"image {image_id}, blob {blob_id}", "nothing uses it, and it would never go", repair)
                for image_id, blob_id in links
            ),
            *(Finding("blob", digest, "nothing links it, and it would never go", repair) for _, digest in lonely),
        ]

    async def _check_tags(self, *, repair: bool) -> list[Finding]:
        lost = await self._database.read(rows.lost_tags)
        if repair and lost:
            await self._database.write(lambda tx: rows.remove_tags(tx, [tag_id for tag_id, _ in lost]))
        return [
            Finding("tag", name, "it names an artifact that is not there; push it again", repair) for _, name in lost
        ]

    async def _check_trash(self, *, repair: bool) -> list[Finding]:
        found = await self._database.read(trash_rows.wrong)
        if repair and any(found):
            await self._database.write(lambda tx: trash_rows.mend(tx, found))
        return [
            *(
                Finding("trash", f"deletion {trash_id} of {name}", "it holds another number than is kept", repair)
                for trash_id, name in found.deletions
            ),
            *(
                Finding("trash", f"hidden image {image_id} of registry {name}", "no deletion has it", repair)
                for image_id, name in found.images
            ),
        ]

    async def _check_counts(self, *, repair: bool) -> list[Finding]:
        wrong = await self._database.read(rows.wrong_counts)
        if repair and wrong:
            await self._database.write(lambda tx: rows.set_counts(tx, wrong))
        lists = await self._database.read(rows.wrong_lists)
        if repair and lists:
            await self._database.write(rows.set_lists)
        usage = await self._database.read(rows.wrong_usage)
        if repair and usage:
            await self._database.write(rows.set_usage)
        findings = [
            Finding("usage", f"registry {name}", f"{kept} bytes are kept as its usage, it uses {right}", repair)
            for _, name, kept, right in usage
        ]
        findings += [Finding("list", one, "lists or counts other artifacts than it should", repair) for one in lists]
        return findings + [
            Finding(
                "count", f"image {name}", f"holds {artifacts} artifacts and {tags} tags, another number is kept", repair
            )
            for _, name, artifacts, tags in wrong
        ]
