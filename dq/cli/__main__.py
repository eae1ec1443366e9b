"""``python -m dq.cli`` is the command ``dq``."""

from dq.cli.entry import main

main()
