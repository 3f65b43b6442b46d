"""Grading of hand-ins, for lecturers."""
