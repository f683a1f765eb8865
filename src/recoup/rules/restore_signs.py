"""Tell by what a database knows itself whether it is an older state of itself, or a copy.

A false alarm costs minutes, since a comparison with the providers ends it; a missed one may charge
payers twice. So a failover counts, too: what was promoted may lack the last commits.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class Files(msgspec.Struct, frozen=True):
    """What the file system says of two files of an embedded cluster.

    One is written when the cluster is made and never again, the other in place, again and again:
    so neither is ever another file, until somebody puts copies there, of all or of what differs.
    """

    device: int
    volume: int  # as the file system numbers itself; 0 where it does not
    once_written: int  # inode
    born_ns: int  # of the same: a reused inode is younger; 0 where that is not told
    rewritten: int  # inode

    @property
    def sign(self) -> str:
        """The same for as long as these are the same files, whatever is mounted when and where.

        The device's number is left out: of btrfs, NFS and LVM it is given anew with each boot.
        Some file systems take it for their own number, which then says no more.
        """
        volume = 0 if self.volume == self.device else self.volume
        return f"{volume:x}/{self.once_written}/{self.born_ns}/{self.rewritten}"


class Identity(msgspec.Struct, frozen=True):
    """What PostgreSQL and the file system say of the running database."""

    system_identifier: str
    timeline: str
    database_oid: int
    folder: str  # `Files.sign` of the embedded cluster; empty for another's server


class Signs(Identity, frozen=True):
    """The same as the database remembers it, and when somebody last served from it."""

    beat_at: datetime

    @property
    def identity(self) -> Identity:
        """What it remembers of itself."""
        return Identity(self.system_identifier, self.timeline, self.database_oid, self.folder)


def why_restored(kept: Signs | None, found: Identity, last_beat: datetime | None) -> str | None:
    """Say by which sign this database was restored; None: by none.

    `last_beat` is the last beat that was seen in it, as it is kept outside of it.
    """
    if kept is None:  # it never served, or comes from before there were signs
        return "older_than_its_last_beat" if last_beat is not None else None
    if kept.system_identifier != found.system_identifier:
        return "another_cluster"
    if kept.database_oid != found.database_oid:
        return "another_database"
    if kept.timeline != found.timeline:
        return "another_timeline"
    if kept.folder != found.folder:
        return "another_folder"
    if last_beat is not None and kept.beat_at < last_beat:
        return "older_than_its_last_beat"
    return None
