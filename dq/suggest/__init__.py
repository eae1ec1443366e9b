"""Suggest: a file of checks for a table, with thresholds from its data.

catalogue  the families of types; primary and foreign keys
personal   which columns look as if they held personal data
profile    the numbers of each column
proposals  checks that the numbers speak for, and their thresholds
writing    the file
"""

from dq.suggest.profile import Profile, profile
from dq.suggest.proposals import Suggested, propose
from dq.suggest.writing import write

__all__ = ["Profile", "Suggested", "profile", "propose", "write"]
