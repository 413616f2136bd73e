"""What is kept: verdicts, judgements, leases, and money reserved before a call."""
