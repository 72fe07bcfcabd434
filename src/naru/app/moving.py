"""What moves content out of files, from settings."""

from __future__ import annotations

from naru.app.core import Core
from naru.services.moving import BlobMover
from naru.settings.values import parse_object_store
from naru.storage.filesystem import filesystem_storage


def build_mover(core: Core, url: str | None) -> BlobMover:
    """From the files of these settings into the object store at ``url``, or that of the settings. ``ValueError``."""
    from naru.storage.object import Place, object_sink, object_storage  # noqa: PLC0415 - loaded with one only

    settings = core.settings
    folder = settings.blob_folder or settings.blob_old_folder
    if folder is None:
        raise ValueError(
            "there are no files to move: blob_store_url names an object store; set blob_store_old_url to the folder "
            "that content was in (file:///...)"
        )
    place = settings.object_store if url is None else parse_object_store(url)
    if place is None:
        raise ValueError("say where to: --to s3://bucket/prefix?region=..., or the same in blob_store_url")
    if settings.object_store is not None and place != settings.object_store:
        raise ValueError("blob_store_url names another object store: content has to go to the one that the server uses")
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}")
    target = Place(*place)
    return BlobMover(
        database=core.database,
        source=filesystem_storage(folder)[1],
        target=object_storage(target, remember_seconds=0)[1],
        sink=object_sink(target),
    )
