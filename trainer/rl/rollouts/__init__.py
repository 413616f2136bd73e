"""Where a run's rollouts come from: which questions, what is kept of them, how far ahead."""
