"""What several commands share: options, sources of events, views."""
