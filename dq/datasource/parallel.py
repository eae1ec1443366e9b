"""Several statements side by side, up to the limit of the datasource."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from dq.datasource.protocol import Plain, Row
from dq.model.errors import DqError


def fetch_all(datasource: Plain, statements: Iterable[str]) -> list[list[Row] | DqError]:
    """Return the rows of each statement, or why it could not be executed, in their order.

    As many run side by side as the datasource says. When the user interrupts (or anything else ends this), no further
    one is begun, those that run are stopped in the database, and then it goes on upwards.

    Args:
        datasource: one that says nothing of ``parallel`` is asked one after the other.
        statements: the SQL.
    """
    wanted = list(statements)
    found: dict[int, list[Row] | DqError] = {}
    crashed: list[BaseException] = []
    todo = iter(range(len(wanted)))
    lock = threading.Lock()

    def work() -> None:
        while not crashed:
            with lock:
                number = next(todo, None)
            if number is None:
                return
            try:
                found[number] = datasource.fetch(wanted[number])
            except DqError as error:
                found[number] = error
            except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits
                crashed.append(error)

    count = min(getattr(datasource, "parallel", 1), len(wanted))
    if count < 2:
        work()
    else:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as interrupt:
            crashed.append(interrupt)
            stop = getattr(datasource, "cancel", None)
            if stop is not None:
                stop()
            raise
    if crashed:
        raise crashed[0]
    return [found[number] for number in range(len(wanted))]
