"""The Python API: histories, models and look-ups for notebooks and programs, in pandas, polars or Arrow."""
