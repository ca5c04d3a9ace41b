"""The whole pipeline on this machine, with simulated shoppers, watched and checked from outside."""
