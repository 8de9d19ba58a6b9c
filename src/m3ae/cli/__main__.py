"""``python -m m3ae.cli`` is ``m3ae``."""

from m3ae.cli.main import main

main()
