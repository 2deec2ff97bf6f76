"""What stops the embedded server when the process that used it was killed?

A small process beside each user of the server. It waits for the lock that every user shares; it gets it only when the last of them is gone, whatever
ended them, and then becomes `pg_ctl stop`, which holds the lock until the server is down. Run as a script, on the standard library alone:

    watch.py DESCRIPTOR UID GID COMMAND...

DESCRIPTOR is an inherited one of the lock's file. Under root the command runs as UID and GID, for PostgreSQL's programs refuse to run as root.
"""

import fcntl
import os
import sys


def main() -> None:
    lock, uid, gid = (int(argument) for argument in sys.argv[1:4])
    command = sys.argv[4:]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
