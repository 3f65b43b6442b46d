"""All that only the book's pages need; nothing outside imports it."""
