"""Backups: a folder that holds snapshots of the database, and each blob once. Guide: ``docs/guides/backup.md``."""

from naru.services.backup.folder import BackupFolder, Snapshot
from naru.services.backup.restoring import Restore
from naru.services.backup.taking import Backup, Taken

__all__ = ["Backup", "BackupFolder", "Restore", "Snapshot", "Taken"]
