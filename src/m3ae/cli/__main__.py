"""``python -m m3ae.cli`` and the command ``m3ae``: here, or in a process that has imported torch already."""

import sys

from m3ae.cli.warm.client import handed_over


def run() -> None:
    """Run the command line of this process."""
    code = handed_over()
    if code is not None:
        sys.exit(code)
    from m3ae.cli.main import main

    main()


if __name__ == "__main__":
    run()
