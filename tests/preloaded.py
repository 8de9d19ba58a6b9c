"""What every forked Snakemake finds done: imports, the parser of its options, patterns that are compiled."""

import gc

import pandas  # noqa: F401
import smart_open  # noqa: F401  # of Snakemake's cache of sources
import snakemake.workflow  # noqa: F401
from snakemake.cli import get_argument_parser

import m3ae.artifacts.recognise
import m3ae.config  # noqa: F401

get_argument_parser()
gc.freeze()  # no fork looks through all of this for garbage
