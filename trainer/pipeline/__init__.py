"""Several stages as one: which run, which are done already, and what each of them changed."""
