"""How large a pipeline must be: arithmetic on coefficients that a benchmark measured."""
