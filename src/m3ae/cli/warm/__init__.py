"""Jobs that start warm: a process that has imported torch forks itself for each command of the workflow.

Importing torch takes two to three seconds, more than many of the toy run's jobs compute. ``start.py`` is
what the Snakefile calls, ``server.py`` the process that forks, ``client.py`` what the command ``m3ae`` does
when it finds one, ``request.py`` what goes from the one to the other.
"""
