"""How good a checkpoint is, beside simpler models on the same split."""
