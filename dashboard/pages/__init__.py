"""One module a page; `page()` shows it."""
