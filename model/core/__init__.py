"""The compiled core: from the bytes of events to the bytes of scores, as plain loops that Numba compiles."""
