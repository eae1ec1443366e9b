"""Run a command and print what it cost as a whole process: small itself, because a child's peak begins with its parent's."""

import json
import os
import sys
import time

target, *command = sys.argv[1:]
out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
to = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
began = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ, file_actions=to)
_, status, spent = os.wait4(child, 0)
wall = time.perf_counter() - began
print(
    json.dumps(
        {
            "wall": wall,
            "cpu": spent.ru_utime + spent.ru_stime,
            "peak": spent.ru_maxrss / 1024,
            "code": os.waitstatus_to_exitcode(status),
        }
    )
)
