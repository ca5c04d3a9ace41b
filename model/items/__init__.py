"""What items are: the catalogue, its feeds, and codes by which events and items know each other."""
