"""One file a command or command group; each parses options, composes the rooms, prints."""
