"""What stops the embedded server when the process that used it was killed?

A small process beside each user of the server. It waits for the lock that every user shares; it gets it only when the last of them is gone, whatever
ended them, and holds it until the server is down. Run as a script, on the standard library alone:

    watch.py USERS SERVER UID GID COMMAND...

USERS and SERVER are inherited descriptors of the lock files of the users and of the server. Under root the command runs as UID and GID, for
PostgreSQL's programs refuse to run as root.
"""

import fcntl
import os
import sys
import time

AGAIN_SECONDS = 0.1


def main() -> None:
    users, server, uid, gid = (int(argument) for argument in sys.argv[1:5])
    command = sys.argv[5:]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    fcntl.flock(users, fcntl.LOCK_EX)
    while runs(server):
        # Refused where the server is too young to have a pid file (its owner was killed while starting it): so again until it is heard.
        os.waitpid(os.posix_spawn(command[0], command, {"LC_ALL": "C"}), 0)
        time.sleep(AGAIN_SECONDS)


def runs(server: int) -> bool:
    try:
        fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


if __name__ == "__main__":
    main()
