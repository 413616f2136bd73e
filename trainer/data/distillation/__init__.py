"""Questions by type, a teacher's thoughts and answers to them, and which of those are good."""
