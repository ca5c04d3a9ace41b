"""What workers and sinks import, for the process that they are forked from; it runs none of it."""

import gc

import streams.run
import streams.topics  # noqa: F401

gc.collect()
gc.freeze()  # a collection in a forked process would copy every page
