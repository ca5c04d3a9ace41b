"""From the events topic to the scores topic: the Faust application."""
