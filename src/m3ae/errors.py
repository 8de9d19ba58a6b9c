"""What a user may see as a single line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


TRY_AGAIN = 75  # exit code (EX_TEMPFAIL): the state is saved, run the same command again


class UserError(ValueError):
    """A mistake that the user can mend: what was expected, what came, what to do.

    The command line prints the message alone, without a traceback, and exits with 1.
    """


class Again(Exception):
    """The work was interrupted in good order and its state is saved: start it again."""


def first_finding(error: "ValidationError") -> str:
    """Where a file is not what it should be, and why: `key: message`, the first of pydantic's findings."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
