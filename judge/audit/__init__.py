"""Reads of what was judged: runs, votes, replays."""
