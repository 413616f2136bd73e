"""Whether a teacher may be believed: its examination, drift, the rules' own report."""
