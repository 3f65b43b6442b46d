"""One folder a chapter: its exercises and its quiz."""
