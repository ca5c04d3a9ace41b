"""From a history of events to a calibrated checkpoint."""
