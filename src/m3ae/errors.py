"""The one exception that a user may see as a single line."""


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what came, what to do.

    The command line prints the message alone, without a traceback, and exits with 1.
    """


class Again(Exception):
    """The work was interrupted in good order and its state is saved: start it again."""
