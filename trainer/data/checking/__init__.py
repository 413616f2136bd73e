"""Rows that can be read and must not be used: found, named, mended."""
