"""The errors that dq raises on purpose.

DqError                     base: one clear sentence and an exit code
├── UsageError         (2)  wrong use: arguments, declarations, configuration
│   ├── DeclarationError    a check, suite, SLA or reconciliation that cannot mean anything
│   ├── ConfigError         dq.toml or routes.toml, with the place
│   └── GuardError          SQL that is not the one read-only expression it must be
├── MeasureError       (3)  the database could not answer
├── NotJudgedError     (3)  there is nothing to hold the answer against yet
├── AirflowError       (3)  an Airflow that is watched did not answer, or refused
└── StoreError         (3)  dq's own store could not be read or written
"""


class DqError(Exception):
    """Base of every error dq raises on purpose; its text is one sentence for a person."""

    exit_code = 2


class UsageError(DqError):
    """The command, the declaration or the configuration is wrong; nothing was measured."""


class DeclarationError(UsageError):
    """A check, suite, SLA or reconciliation that is refused at load."""


class ConfigError(UsageError):
    """``dq.toml`` or ``alerting/routes.toml`` is refused; the sentence names the place."""


class GuardError(UsageError):
    """SQL that the guard refuses: not one boolean expression, or not one read-only query."""


class MeasureError(DqError):
    """A statement could not be executed, so a number is missing. Never contains a secret.

    Args:
        text: the sentence.
        measured: what was measured all the same, for later runs to be held against.
    """

    exit_code = 3

    def __init__(self, text: str, measured: object = None) -> None:
        super().__init__(text)
        self.measured = measured


class NotJudgedError(DqError):
    """It was measured, but there is nothing to hold it against yet.

    Args:
        text: what is missing.
        measured: the number, for later runs to be held against.
    """

    exit_code = 3

    def __init__(self, text: str, measured: object = None) -> None:
        super().__init__(text)
        self.measured = measured


class AirflowError(DqError):
    """An Airflow that is watched did not say what it was asked. Never contains an address or a secret.

    Args:
        text: the sentence.
        down: whether it did not answer, which may pass; else it refused, or is asked wrongly: somebody must change a
            setting.
    """

    exit_code = 3

    def __init__(self, text: str, *, down: bool) -> None:
        super().__init__(text)
        self.down = down


class StoreError(DqError):
    """dq's own store could not be opened, migrated, read or written."""

    exit_code = 3
