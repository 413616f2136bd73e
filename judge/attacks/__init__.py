"""Attempts to deceive the judge, found before a teacher is asked."""
