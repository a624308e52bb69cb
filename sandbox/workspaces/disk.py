"""What a workspace's folder takes on the disk, and a bound that holds while something runs in it.

No limit of the kernel that we may count on covers the sum of a folder: the platform measures it, before and during each
query, script and run. Counted are blocks (a sparse file counts what it holds), inodes, and files that were unlinked
but are still held open or mapped. What cannot be measured counts as full.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sandbox.workspaces.jail import Jailed
from sandbox.workspaces.limits import MEGABYTE

FILES_PER_MB = 64  # one inode for each 16 KiB, as ext4 itself sets them out
_SHARE = 20.0  # measuring takes at most a twentieth of the time, half of it while the disk is filling up
_LEAST_SECONDS = 0.5
_BLOCK = 512


class Bound:
    """The bound of what one jailed process and its folders may take together. One thread at a time."""

    def __init__(self, folders: Sequence[Path], mb: int, jailed: Jailed, *, files: int | None = None) -> None:
        # without a mount view of its own a jail's temporary folder lies on the disk too
        own = [] if jailed.temporary is None else [Path(jailed.temporary.name)]
        self._folders, self._mb, self._files, self._jailed = [*folders, *own], mb, files, jailed
        self._rest, self._next = 0.0, time.monotonic() + _LEAST_SECONDS
        self._free, self._room = _free(self._folders), self._half_of(0.5)

    def passed(self) -> bool:
        """Is it over the bound? To be asked many times a second: mostly it only asks the file system how full it is."""
        now = time.monotonic()
        if now < self._rest or (now < self._next and not self._filling()):
            return False
        return self.exceeded()

    def exceeded(self) -> bool:
        """Measure now, whatever it takes: to be asked once before what was left there is taken."""
        now = time.monotonic()
        self._free = _free(self._folders)
        used = share(self._folders, self._mb, files=self._files, processes=processes(self._jailed))
        took = time.monotonic() - now
        self._rest, self._next = now + 2 * took, now + max(_LEAST_SECONDS, _SHARE * took)
        self._room = self._half_of(max(0.0, 1.0 - used))
        return used > 1.0

    def _half_of(self, left: float) -> tuple[float, float]:
        return left / 2 * self._mb * MEGABYTE, left / 2 * (self._files or self._mb * FILES_PER_MB)

    def _filling(self) -> bool:
        """Did the file system lose half of what the folder may still take (to whomever) since it was measured?"""
        now = _free(self._folders)
        return any(before - after > room for before, after, room in zip(self._free, now, self._room, strict=True))


def share(folders: Iterable[Path], mb: int, *, files: int | None = None, processes: Iterable[int] = ()) -> float:
    """How much of a bound of `mb` megabytes and `files` inodes is in use: above 1.0 it is passed, and counting stops.

    `processes` are those whose open and mapped files count too, once their last name is gone.
    """
    most = files or mb * FILES_PER_MB
    blocks = count = 0
    linked: set[tuple[int, int]] = set()
    devices: set[int] = set()
    used = 0.0
    for found in _everything(folders, processes, devices):
        if found is None:
            return float("inf")
        if found.st_nlink != 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in linked:
                continue
            linked.add((found.st_dev, found.st_ino))
        blocks += found.st_blocks
        count += 1
        used = max(blocks * _BLOCK / (mb * MEGABYTE), count / most)
        if used > 1.0:
            break
    return used


def processes(jailed: Jailed) -> list[int]:
    """The processes of a jail: by its control group, else by the tree below its first one."""
    return jailed.group.processes() if jailed.group is not None else _tree(jailed.process.pid)


def _everything(folders: Iterable[Path], pids: Iterable[int], devices: set[int]) -> Iterator[os.stat_result | None]:
    """Each file and folder, then the unlinked files on the same devices; None for what cannot be looked at."""
    for folder in folders:
        devices.add(folder.stat().st_dev) if folder.exists() else None
        yield from _below(str(folder))
    for pid in pids:
        for where in ("fd", "map_files"):
            yield from (f for f in _held(f"/proc/{pid}/{where}") if f.st_dev in devices and f.st_nlink == 0)


def _below(folder: str) -> Iterator[os.stat_result | None]:
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with _entries(place) as entries:  # one by one: whoever fills the folder meanwhile must not be waited for
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
                    yield found
        except FileNotFoundError:
            continue
        except OSError:  # nested deeper than a path may be long, or closed even to us
            yield None


def _entries(place: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    """The entries of a folder. One that the merchant closed, with the platform as its owner, is opened again."""
    try:
        return os.scandir(place)
    except PermissionError:
        Path(place).chmod(0o700, follow_symlinks=False)
        return os.scandir(place)


def _held(table: str) -> Iterator[os.stat_result]:
    """Regular files behind the descriptors or mappings of one process, as far as the platform may look."""
    try:
        names = list(Path(table).iterdir())
    except OSError:
        return
    for name in names:
        try:
            found = name.stat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield found


def _tree(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        for thread in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting += [int(number) for number in thread.read_text().split()]
            except OSError:
                continue
    return found


def _free(folders: Iterable[Path]) -> tuple[int, int]:
    """Free bytes and inodes of the file systems, summed; a missing folder counts nothing."""
    size = inodes = 0
    for folder in folders:
        try:
            told = os.statvfs(folder)
        except OSError:
            continue
        size += told.f_bfree * told.f_frsize
        inodes += told.f_ffree
    return size, inodes
