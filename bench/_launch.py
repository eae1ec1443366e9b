"""Run a command and print what it cost as a whole process.

Small itself, because a process inherits the peak of the one that started it.
"""

import json
import os
import signal
import sys
import time

output, errors, seconds, *command = sys.argv[1:]
to = [
    (os.POSIX_SPAWN_OPEN, number, file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number, file in ((1, output), (2, errors))
]
began = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ, file_actions=to)
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(int(float(seconds)))
_, status, spent = os.wait4(child, 0)
wall = time.perf_counter() - began
cost = {"wall": wall, "cpu": spent.ru_utime + spent.ru_stime, "peak": spent.ru_maxrss / 1024}
print(json.dumps(cost | {"code": os.waitstatus_to_exitcode(status)}))
