"""What workers and sinks import and compile, for the process that they are forked from; it runs none of it."""

import gc

import streams.run
import streams.topics  # noqa: F401
from streams.warm_up import compile_core

compile_core()

gc.collect()
gc.freeze()  # a collection in a forked process would copy every page
