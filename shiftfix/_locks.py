"""A lock on a file that the system takes back when its holder dies, however it dies."""

import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What file systems answer that have no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def lock_file(path: Path, *, make: bool = True) -> tuple[int, bool]:
    """Open a file and lock it against every other process, and every other call in this one.

    Parameters
    ----------
    path : pathlib.Path
        A link is not followed.
    make : bool, default=True
        Make the file where there is none.

    Returns
    -------
    descriptor : int
        Closing it, or the death of the process, ends the lock.
    certain : bool
        False where the system or the file system has no locks: then nothing is known of other processes.

    Raises
    ------
    BlockingIOError
        When another process holds the lock.
    OSError
        When the file cannot be opened.
    """
    flags = os.O_RDWR | (os.O_CREAT if make else 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            certain = _lock(descriptor)
            # Between opening and locking, the last holder may have removed the file: that lock would guard nothing.
            if not certain or _is_at(descriptor, path):
                return descriptor, certain
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
