"""The parts of tools/build/build_notebooks.py: from a chapter's MyST source to a plain notebook."""
