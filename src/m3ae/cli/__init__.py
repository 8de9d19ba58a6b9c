"""The command line: one command per stage of the workflow."""
